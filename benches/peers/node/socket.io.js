// Socket.IO with its adapter for the Redis whose URL is the one argument: clients join rooms, a publisher
// emits into them.
'use strict';
const { createServer } = require('node:http');
const { createAdapter } = require('@socket.io/redis-adapter');
const { createClient } = require('redis');
const { Server } = require('socket.io');

async function main() {
  const publisher = createClient({ url: process.argv[2] });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, {
    adapter: createAdapter(publisher, subscriber),
    transports: ['websocket'],
  });
  io.on('connection', (socket) => {
    const { room } = socket.handshake.auth;
    socket.on('publish', (to, event) => socket.to(to).emit('e', event));
    if (room) socket.join(room);
    socket.emit('joined');
  });
  // The adapter does not say when it is subscribed. The server confirms a later subscription after the adapter's.
  await subscriber.subscribe('ready', () => {});
  http.listen(0, '127.0.0.1', () => {
    const { address, port } = http.address();
    process.stdout.write(`listening on http://${address}:${port}\n`);
  });
}

main();
