// node with `ws`: what a client sends goes to all the others.
'use strict';
const { WebSocketServer, WebSocket } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
const members = new Set();
server.on('listening', () => {
  const { address, port } = server.address();
  process.stdout.write(`listening on http://${address}:${port}\n`);
});
server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url.startsWith('/ws?publisher')) {
    socket.on('message', (event) => {
      for (const member of members) {
        if (member.readyState === WebSocket.OPEN) member.send(event, { binary: false });
      }
    });
    return;
  }
  members.add(socket);
  socket.on('close', () => members.delete(socket));
});
