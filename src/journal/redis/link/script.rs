//! Scripts that are sent by their digest.

use redis::Cmd;

use super::prefix;

/// One script, known to the server by its digest.
pub(in super::super) struct Script {
    name: &'static str,
    code: String,
    digest: String,
}

impl Script {
    /// A script; `name` is for messages.
    pub(in super::super) fn new(name: &'static str, code: &str) -> Self {
        let digest = redis::Script::new(code).get_hash().to_owned();
        Self { name, code: code.to_owned(), digest }
    }

    /// What messages call it.
    pub(in super::super) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it if the server knows it.
    pub(super) fn by_digest(&self, lane: u32, args: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.digest, lane, args)
    }

    /// Runs it, and has the server know it from then on.
    pub(super) fn by_code(&self, lane: u32, args: &[&[u8]]) -> Cmd {
        call("EVAL", &self.code, lane, args)
    }
}

fn call(command: &str, script: &str, lane: u32, args: &[&[u8]]) -> Cmd {
    let prefix = prefix(lane);
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>();
    // A batch has some hundred kilobytes: room for them that grew step by step would be copied again and again.
    let mut call =
        Cmd::with_capacity(args.len() + 4, command.len() + script.len() + prefix.len() + bytes + 1);
    call.arg(command).arg(script).arg(1).arg(prefix).arg(args);
    call
}
