//! A server on tokio and one on smol in one process, each with the flags of the command line.

use std::net::TcpListener;
use std::process::ExitCode;
use std::thread;

use futures::stream;
use midplane_server::Runtime;
use tokio_util::compat::TokioAsyncReadCompatExt;

fn main() -> ExitCode {
    let other = thread::spawn(on_tokio);
    let code = on_smol();
    match other.join() {
        Ok(ExitCode::SUCCESS) => code,
        _ => ExitCode::FAILURE,
    }
}

fn on_tokio() -> ExitCode {
    midplane_server::main(|server| {
        let runtime = Runtime::new(midplane::tokio::spawn, midplane::tokio::Timer::new());
        let accept = |listener: TcpListener| {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok(Box::pin(stream::unfold(listener, async |listener| {
                let accepted = listener.accept().await;
                let accepted = accepted.map(|(socket, address)| (socket.compat(), address));
                Some((accepted, listener))
            })))
        };
        tokio::runtime::Runtime::new()?.block_on(server.run(runtime, accept))
    })
}

fn on_smol() -> ExitCode {
    midplane_server::main(|server| {
        let runtime = Runtime::new(midplane::smol::spawn, midplane::smol::Timer::new());
        let accept = |listener: TcpListener| {
            let listener = smol::net::TcpListener::try_from(listener)?;
            Ok(Box::pin(stream::unfold(listener, async |listener| {
                let accepted = listener.accept().await;
                Some((accepted, listener))
            })))
        };
        smol::block_on(server.run(runtime, accept))
    })
}
