//! What a server that tells this can lose. Deliveries of the last `keep` come back from the journals whatever Redis
//! loses; what is said here is about the rest.

use std::iter;

use super::{
    RedisFinding,
    Severity::{Error, Info, Warning},
    finding, lines,
    told::Told,
};
use crate::journal::redis::{RedisOptions, Topology};

pub(super) fn judge(options: &RedisOptions, told: &Told) -> Vec<RedisFinding> {
    let looks = [role, cluster, file, fsync, rewrite, memory, eviction, replicas, cut_off, unseen];
    let found = looks.into_iter().filter_map(|look| look(options, told));
    iter::once(version(options, told)).chain(found).collect()
}

fn version(options: &RedisOptions, told: &Told) -> RedisFinding {
    let (name, subject) = (told.name(), "version");
    match told.version() {
        None => finding(Warning, subject, format!("it is {name}; expected Redis 7.0 or later, or Valkey")),
        Some(version) if version < (7, 0) => finding(
            Error,
            subject,
            format!("{name} is too old: the scripts that jobs move by need Redis 7.0 or later, or Valkey"),
        ),
        Some(version) if version < (7, 2) && options.wait_aof => finding(
            Error,
            subject,
            format!(
                "{name} does not know what wait_aof = true asks for, so no delivery would ever count as moved and the \
                 journal would fill up; use Redis 7.2 or later, or set wait_aof = false"
            ),
        ),
        Some(_) => finding(Info, subject, format!("it is {name}")),
    }
}

fn role(options: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    if told.info("role") == Some("slave") {
        let text = "it is a replica, and takes no writes; give url its primary, or have Sentinels find it: \
                    topology = \"sentinel\"";
        return Some(finding(Error, "role", text));
    }
    (told.is_cluster() && options.address.topology != Topology::Cluster).then(|| {
        let text = "it is a node of a Cluster, and has only a part of the jobs; set topology = \"cluster\"";
        finding(Error, "topology", text)
    })
}

fn cluster(_: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "cluster_state";
    let found = match told.cluster.as_ref()? {
        Err(why) => finding(Warning, subject, format!("it can't be seen ({why}); allow CLUSTER INFO")),
        Ok(text) => match lines(text).get(subject).map(String::as_str) {
            Some("ok") => finding(Info, subject, "ok: all hash slots are served"),
            state => finding(
                Error,
                subject,
                format!(
                    "{}: some hash slots have no server, so the Cluster may take nothing. Deliveries are acknowledged all \
                     the same and wait in the journals; bring the missing nodes back (CLUSTER NODES names them)",
                    state.unwrap_or("not told")
                ),
            ),
        },
    };
    Some(found)
}

fn file(options: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "appendonly";
    if told.info("aof_enabled")? == "1" {
        return match told.info("aof_last_write_status") {
            None | Some("ok") => None,
            Some(status) => Some(finding(
                Error,
                subject,
                format!(
                    "its last write to the append-only file failed ({status}), so it takes no more; see to its disk"
                ),
            )),
        };
    }
    let loses = match told.setting("save") {
        Some("") => "what is in it is in memory only, and gone when it restarts",
        Some(_) => {
            "it writes only snapshots now and then, and what came after the last one is gone when it crashes"
        }
        None => {
            "it writes at most snapshots now and then, and what came after the last one is gone when it crashes"
        }
    };
    let (level, wait) = if options.wait_aof {
        (
            Error,
            ". Without the file wait_aof = true is never met: no delivery counts as moved, and the journal fills up",
        )
    } else {
        (Warning, "")
    };
    Some(finding(
        level,
        subject,
        format!(
            "no: {loses}. Deliveries of the last `keep` come back from the journals and run (again); older jobs that wait, \
             dead letters and the history do not{wait}. Set appendonly yes"
        ),
    ))
}

fn fsync(_: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "appendfsync";
    if told.info("aof_enabled")? != "1" {
        return None;
    }
    Some(match told.setting(subject)? {
        "always" => finding(
            Info,
            subject,
            "always: what it has answered is on its disk, and survives a power failure",
        ),
        policy => {
            let time = match policy {
                "everysec" => "a second or two",
                _ => "the half minute or so that the operating system takes",
            };
            finding(
                Warning,
                subject,
                format!(
                    "{policy}: a power failure costs what was written in the last of it, {time}. Deliveries come back from \
                     the journals; jobs whose end is forgotten run again, replays and discards are undone. Set \
                     appendfsync always"
                ),
            )
        }
    })
}

fn rewrite(_: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "no-appendfsync-on-rewrite";
    let on = told.info("aof_enabled")? == "1" && told.setting(subject)? == "yes";
    on.then(|| {
        let text = "yes: while the append-only file is rewritten nothing is fsynced, and a power failure costs all that \
                    was written since the rewrite began. Set it to no";
        finding(Warning, subject, text)
    })
}

/// How much of the memory may be used before it is said, in percent.
const NEAR: u64 = 85;

fn memory(_: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "maxmemory";
    let (used, limit) = (told.number("used_memory")?, told.number("maxmemory")?);
    if limit > 0 {
        let percent = percent(used, limit);
        let (level, mend) = if percent >= NEAR {
            (Warning, ". Raise it, have more workers, or keep finished deliveries for a shorter retention")
        } else {
            (Info, "")
        };
        let text = format!(
            "{percent} % of it is used. At the limit Redis takes no new deliveries: they are acknowledged all the same and \
             wait in the journals, up to their max_size{mend}"
        );
        return Some(finding(level, subject, text));
    }
    let total = told.number("total_system_memory").filter(|total| *total > 0);
    let full = total.filter(|total| percent(used, *total) >= NEAR);
    let level = if full.is_some() { Warning } else { Info };
    let text = "there is none: when the machine's memory is full, the system may kill Redis. With a limit it would say \
                in time that it is full, and deliveries would wait in the journals; set maxmemory";
    Some(finding(level, subject, text))
}

fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX)
}

fn eviction(_: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "maxmemory-policy";
    let policy = told.info("maxmemory_policy")?;
    let mend = "Set maxmemory-policy noeviction";
    Some(match (policy, told.number("maxmemory")) {
        ("noeviction", _) => {
            finding(Info, subject, "noeviction: when it is full it refuses, and deletes nothing")
        }
        (policy, _) if policy.starts_with("volatile-") => finding(
            Warning,
            subject,
            format!(
                "{policy}: when it is full it deletes keys with an expiry. Jobs have none, so none is lost. {mend}"
            ),
        ),
        (policy, Some(0)) => finding(
            Warning,
            subject,
            format!(
                "{policy}: as soon as somebody sets maxmemory, Redis deletes jobs when it is full. {mend}"
            ),
        ),
        (policy, _) => finding(
            Error,
            subject,
            format!("{policy}: when it is full, Redis deletes jobs that nothing brings back. {mend}"),
        ),
    })
}

fn replicas(options: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "replicas";
    let (have, want) = (told.number("connected_slaves")?, u64::from(options.wait_replicas));
    let fails_over = options.address.topology != Topology::Single;
    Some(if have < want {
        finding(
            Error,
            subject,
            format!(
                "wait_replicas = {want}, but {} connected: until there are enough, jobs run, but no delivery counts as \
                 moved, and the journals keep them all until they are full. Connect more replicas, or lower \
                 wait_replicas",
                are(have)
            ),
        )
    } else if have == 0 && fails_over {
        finding(
            Warning,
            subject,
            "none is connected, so there is nothing to fail over to; connect one or more",
        )
    } else if have == 0 {
        finding(
            Info,
            subject,
            "none: if this server's disk is lost, so are its jobs, all but the deliveries of the last `keep`, which come \
             back from the journals",
        )
    } else if want == 0 {
        let level = if fails_over { Warning } else { Info };
        finding(
            level,
            subject,
            format!(
                "{} connected, and nobody waits for them: a failover costs what the promoted one did not have yet. \
                 Deliveries of the last `keep` come back from the journals; jobs whose end is forgotten run again. Set \
                 wait_replicas = 1, and a delivery counts as moved only when a replica has it; with one replica in all, \
                 that is not before the old primary is back after a failover, and the journals keep everything meanwhile",
                are(have)
            ),
        )
    } else {
        finding(
            Info,
            subject,
            format!("{} connected; a delivery counts as moved when {want} of them have it", are(have)),
        )
    })
}

fn are(count: u64) -> String {
    match count {
        0 => "none is".to_owned(),
        1 => "1 is".to_owned(),
        count => format!("{count} are"),
    }
}

/// Whether a primary that lost its replicas goes on by itself.
fn cut_off(options: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let subject = "min-replicas-to-write";
    let (have, least) = (told.number("connected_slaves")?, told.setting(subject)?.parse::<u64>().ok()?);
    if have < least {
        let text = format!(
            "{least}, but {} connected: Redis takes no writes, and deliveries wait in the journals. Connect more \
             replicas, or lower it",
            are(have)
        );
        return Some(finding(Error, subject, text));
    }
    (least == 0 && have > 0 && options.address.topology != Topology::Single).then(|| {
        let text = "0: a primary that is cut off from its replicas goes on while another is promoted, and what it took \
                    meanwhile is thrown away. Set it to 1";
        finding(Warning, subject, text)
    })
}

fn unseen(_: &RedisOptions, told: &Told) -> Option<RedisFinding> {
    let why = told.settings.as_ref().err()?;
    Some(finding(
        Warning,
        "settings",
        format!(
            "CONFIG GET is not answered ({why}), so appendfsync, no-appendfsync-on-rewrite and min-replicas-to-write can't \
             be seen; allow it (ACL: +config|get), or see to it yourself that they are always, no and, with replicas, 1"
        ),
    ))
}
