//! What a build prints, and what a stream of events carries: cut anywhere, and hostile.

use std::sync::Arc;

use futures::StreamExt;
use proptest::{collection::vec, prelude::*};
use slipway::{
    client::{Event, events as read_events},
    domain::{
        kaniko_log::{Progress, classify, message, snippet},
        log::{Filter, Known, Masker, SourceMark, credentials},
    },
};

use crate::{fuzz::fuzz, fuzz::mutation::mutated};

const SECRET: &str = "hunter2-hunter2";

fn logs() -> Vec<Vec<u8>> {
    [
        "INFO[0001] RUN make\nINFO[0001] Running: [/bin/sh -c make]\nmake: *** failed\n\
         error building image: error building stage: failed to execute command: waiting for process to exit: exit \
         status 2\n",
        "error checking push permissions: GET https://registry.example/v2/: UNAUTHORIZED: authentication required\n",
        "Error: error resolving source context: authentication required\nUsage:\n  executor [flags]\n",
        "password: hunter2-hunter2\r\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\n",
        "INFO[0002] Pushing image to registry.example/a:1\n\x1b[31mred\x1b[0m <script>alert(1)</script> \u{202e}\n",
        "{\"auths\":{\"registry.example\":{\"auth\":\"dTpodW50ZXIyLWh1bnRlcjI=\"}}}",
    ]
    .map(|log| log.as_bytes().to_vec())
    .to_vec()
}

/// Where something is cut: the lengths of its pieces, over and over.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(1_usize..40, 1..6)
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    cuts.iter().cycle().map_while(move |cut| {
        let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[test]
fn kaniko() {
    fuzz(
        "kaniko's log",
        &(mutated(logs()), any::<i32>(), cuts()),
        |(log, code, cuts)| {
            for code in [None, Some(1), Some(code)] {
                if let Some(verdict) = classify(&log, code) {
                    prop_assert!(verdict.message.chars().count() <= 1000);
                }
            }
            let _ = snippet(&log);
            let _ = message(&String::from_utf8_lossy(&log));
            let _ = credentials(&String::from_utf8_lossy(&log));
            let (mut whole, mut cut) = (Progress::default(), Progress::default());
            whole.feed(&log);
            for piece in pieces(&log, &cuts) {
                cut.feed(piece);
            }
            prop_assert_eq!(whole.phase(), cut.phase());
            Ok(())
        },
    );
}

#[test]
fn filter() {
    let inputs = (mutated(logs()), 16_usize..200, cuts());
    fuzz("the log's filter", &inputs, |(log, max_line, cuts)| {
        let masker = Masker::new(Arc::default(), Known::new([SECRET]));
        let keep = |cuts: &[usize]| {
            let mut filter = Filter::new(masker.clone(), max_line, SourceMark::default());
            let mut kept = Vec::new();
            for piece in pieces(&log, cuts) {
                filter.feed(piece, &mut kept);
            }
            filter.finish(&mut kept);
            kept
        };
        let kept = keep(&cuts);
        prop_assert_eq!(&kept, &keep(&[usize::MAX]));
        let shown = kept
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        prop_assert!(!shown, "{}", String::from_utf8_lossy(&kept));
        Ok(())
    });
}

#[test]
fn events() {
    let frames = [
        "event: state\nid: 7\ndata: {\"id\":7,\"build_id\":\"0190b5a2-7f10-7cc0-8f7e-0123456789ab\",\"state\":\"queued\",\
         \"cause\":\"request\",\"reason\":null,\"message\":null,\"at\":\"2026-01-01T00:00:00Z\"}\n\n",
        ": alive\n\nevent: log\nid: 21\ndata: {\"attempt\":2,\"offset\":5,\"text\":\"a\\nb\"}\n\n",
        "event: end\r\ndata: {\"state\":\"succeeded\"}\r\n\r\n",
        "data\ndata:\nretry: 99999999999999999999\nid: \0\n\n\u{feff}data: x\n\n",
        "\u{feff}\u{feff}data: x\n\ndata: y\n\n",
        "\u{feff}data: x\n\n",
    ]
    .map(|frame| frame.as_bytes().to_vec());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    fuzz(
        "server-sent events",
        &(mutated(frames.to_vec()), cuts()),
        |(bytes, cuts)| {
            let read = |cuts: &[usize]| {
                let pieces: Vec<_> = pieces(&bytes, cuts)
                    .map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(piece)))
                    .collect();
                let events = read_events(futures::stream::iter(pieces));
                // A broken stream is begun anew: what comes before counts.
                runtime.block_on(
                    events
                        .take_while(|event| std::future::ready(event.is_ok()))
                        .collect::<Vec<_>>(),
                )
            };
            let texts = |cuts: &[usize]| -> Vec<(String, String, String)> {
                let events = read(cuts).into_iter().flatten();
                events.map(|event| (event.event, event.id, event.data)).collect()
            };
            let whole = texts(&[1]);
            for (_, _, data) in &whole {
                if let Ok(event) = Event::read(data) {
                    let _ = event.state.is_terminal();
                }
            }
            if std::str::from_utf8(&bytes).is_ok() {
                prop_assert_eq!(texts(&cuts), whole);
            }
            Ok(())
        },
    );
}
