//! What a proxy sends to the server that the client did not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use midplane_testkit::proxy::Proxy;
use midplane_testkit::wait::block_until;

/// Both ends of a connection through a proxy: the client's and the server's.
fn ends(listener: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

fn read(mut from: &TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_injected_reaches_the_server_and_its_answer_not_the_client() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    let (mut subscriber, mut server) = ends(&listener, &proxy);
    let (mut other, mut other_server) = ends(&listener, &proxy);
    subscriber.write_all(b"SUBSCRIBE").unwrap();
    other.write_all(b"PUBLISH").unwrap();
    assert_eq!(read(&server, 9), "SUBSCRIBE");
    assert_eq!(read(&other_server, 7), "PUBLISH");

    let injection = proxy.inject(|said| (said == b"SUBSCRIBE").then(|| b"UNSUBSCRIBE".to_vec()));
    assert_eq!(injection.connections(), 1);
    assert_eq!(read(&server, 11), "UNSUBSCRIBE");
    // What the client sends goes on.
    subscriber.write_all(b"PING").unwrap();
    assert_eq!(read(&server, 4), "PING");
    other_server.write_all(b"1").unwrap();
    assert_eq!(read(&other, 1), "1");
    server.write_all(b"swallowed").unwrap();
    block_until("the answer is swallowed", || injection.swallowed() == 9);
    injection.end();
    server.write_all(b"seen").unwrap();
    assert_eq!(read(&subscriber, 4), "seen");
}
