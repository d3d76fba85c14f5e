use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use cutwater_wire::credentials::Credentials;
use tokio::{net::TcpListener, runtime::Runtime};

use super::Inbox;
use crate::{
    block::BlockStore,
    error::Error,
    runtime::cluster::{Served, Token, TokenFile, identity, network_threads, serve},
};

/// The door for clients of a program that has its worker in its own process.
///
/// It has a network thread of its own, which ends when it is dropped. If the process dies, what it has
/// received is gone: there is no other worker.
pub(crate) struct Door {
    pub address: SocketAddr,
    token_file: Result<TokenFile, PathBuf>,
    _runtime: Runtime,
}

impl Door {
    /// Listens at `address`. The token is that in `token_file`, or else is written there, or where clients on this
    /// machine look for it.
    pub fn open(
        address: SocketAddr,
        token_file: Option<&Path>,
        blocks: Arc<BlockStore>,
        inbox: Arc<Inbox>,
    ) -> Result<Self, Error> {
        let runtime = network_threads()?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| {
            Error::external(format_args!("cannot listen on {address} for clients: {error}; `--clients HOST:PORT` chooses another address"))
        })?;
        let address = listener.local_addr().map_err(Error::external)?;
        let (token, token_file) = match token_file {
            Some(file) if file.exists() => (Token::read(file)?, Err(file.to_owned())),
            file => {
                let token = Token::new()?;
                let file = file.map_or_else(|| Token::usual_file(address), Path::to_owned);
                let written = token.write(file)?;
                (token, Ok(written))
            }
        };
        // Hashed before anybody knocks, so that no handshake has to wait for it.
        identity::executable()?;
        let credentials = Credentials::new(token.secret(), None);
        runtime.spawn(serve(listener, credentials, Served::by_master(blocks, inbox)));
        Ok(Self { address, token_file, _runtime: runtime })
    }

    pub fn token_file(&self) -> &Path {
        match &self.token_file {
            Ok(written) => written.path(),
            Err(given) => given,
        }
    }
}
