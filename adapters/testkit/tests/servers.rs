//! The servers start, stop, die and come back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use midplane_testkit::PATIENCE;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::server::{RedisCluster, Server, SharedServer};

#[test]
fn a_redis_is_killed_and_comes_back() {
    lives_and_dies(&Server::redis_with(&[]));
}

#[test]
fn a_nats_is_killed_and_comes_back() {
    lives_and_dies(&Server::nats_with(&[]));
}

#[test]
fn a_postgres_is_killed_and_comes_back() {
    lives_and_dies(&Server::postgres_with(&[]));
}

fn lives_and_dies(server: &Server) {
    let address = server.address();
    assert!(server.url().contains(&address.to_string()));
    TcpStream::connect(address).expect("it takes connections");
    server.kill();
    server.kill();
    TcpStream::connect(address).expect_err("it is dead");
    for _ in 0..2 {
        server.restart();
        assert_eq!(server.address(), address);
        TcpStream::connect(address).expect("it is back");
    }
    server.stop();
    server.thaw();
    // A stopped server can be killed too.
    server.stop();
    server.restart();
    TcpStream::connect(address).expect("it is back");
}

#[test]
fn a_stopped_redis_answers_once_it_is_thawed() {
    let server = Server::redis_with(&[]);
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    server.stop();
    stream.write_all(b"PING\r\n").expect("the kernel takes it");
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a duration");
    stream.read(&mut [0]).expect_err("nobody answers");
    server.thaw();
    assert_eq!(answer(&mut stream, 7), b"+PONG\r\n");
}

#[test]
fn a_shared_server_is_one_while_it_is_used() {
    static REDIS: SharedServer<Server> = SharedServer::new(|| Server::redis_with(&[]));
    let first = REDIS.get();
    let second = REDIS.get();
    assert_eq!(first.address(), second.address());
    let address = first.address();
    drop((first, second));
    TcpStream::connect(address).expect_err("nobody uses it");
    assert!(REDIS.get().redis_command(&["PING"]).contains("PONG"));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let message = std::thread::spawn(|| {
        let server = Server::redis_with(&["--no-such-flag", "1"]);
        drop(server);
    })
    .join()
    .expect_err("it does not start");
    let message = message.downcast_ref::<String>().expect("a message");
    assert!(message.contains("no-such-flag"), "{message}");
}

#[test]
fn the_proxy_is_faithful_until_it_is_told() {
    let server = Server::redis_with(&[]);
    let proxy = Proxy::start(server.address());
    let ping = || {
        let mut stream = TcpStream::connect(proxy.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        stream.write_all(b"PING\r\n").expect("it is taken");
        stream
    };
    assert_eq!(answer(&mut ping(), 7), b"+PONG\r\n");
    // Byte by byte, and late.
    proxy.slice(Way::ToServer, true);
    proxy.slice(Way::ToClient, true);
    proxy.delay(Way::ToClient, Duration::from_millis(1));
    assert_eq!(answer(&mut ping(), 7), b"+PONG\r\n");
    proxy.slice(Way::ToServer, false);
    proxy.slice(Way::ToClient, false);
    proxy.delay(Way::ToClient, Duration::ZERO);
    // Cut in the middle of an answer, once.
    proxy.cut_after(Way::ToClient, Some(3));
    let mut stream = ping();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).expect_err("it is reset");
    assert!(b"+PO".starts_with(&read), "{read:?}");
    assert_eq!(answer(&mut ping(), 7), b"+PONG\r\n");
    // Half-open one way, and nothing lost.
    proxy.hold(Way::ToClient);
    let mut stream = ping();
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a duration");
    stream.read(&mut [0]).expect_err("nothing comes through");
    stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
    proxy.pass(Way::ToClient);
    assert_eq!(answer(&mut stream, 7), b"+PONG\r\n");
    // Reset, also of a connection that is idle.
    proxy.reset();
    stream.read(&mut [0]).expect_err("it is reset");
    proxy.refuse();
    let refused = TcpStream::connect(proxy.address()).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_exact(&mut [0])
    });
    refused.expect_err("it is refused");
    proxy.accept();
    assert_eq!(answer(&mut ping(), 7), b"+PONG\r\n");
}

fn answer(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_redis_cluster_moves_slots_and_masters() {
    let cluster = RedisCluster::with_replicas(1);
    let slot = cluster.slot("123456789");
    assert_eq!(slot, 0x31c3);
    let set = |index: usize| cluster.nodes()[index].redis_command(&["SET", "123456789", "x"]);
    assert!(set(0).starts_with("-MOVED"), "{}", set(0));
    cluster.move_slot(slot, 2, 0);
    assert!(set(2).starts_with("-MOVED"), "{}", set(2));
    assert_eq!(set(0), "+OK\r\n");
    cluster.nodes()[0].kill();
    cluster.promote(3, Some(0));
    assert_eq!(set(3), "+OK\r\n");
}
