//! Text out of tokens: stop strings never show, nothing else is lost, characters stay whole.

mod common;

use std::sync::Arc;

use common::{fixture, models, open, options, tokens};
use metallic_engine::{FinishReason, Generation, Piece, Request, TextEnd, TextStream};
use metallic_model::tokenizer::{StreamDecoder, Tokenizer};

fn tokenizer(name: &str) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_model(&open(&models().join(name))).unwrap())
}

/// The ids of a text in a vocabulary of bytes.
fn bytes(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

fn stream(stops: &[&str]) -> TextStream {
    TextStream::new(StreamDecoder::new(tokenizer("qwen2-tied")), stops.iter().map(|s| (*s).to_owned()).collect())
}

/// All pieces that a stream gives for the bytes of a text, and the stop string that it met.
fn pieces(text: &str, stops: &[&str]) -> (Vec<String>, Option<usize>) {
    let mut s = stream(stops);
    let mut out: Vec<String> = bytes(text).into_iter().map(|id| s.push(id).to_owned()).collect();
    out.push(s.finish().to_owned());
    (out, s.stopped())
}

/// Where the text ends: before the stop string that is complete first, of several the one that starts first.
fn expected<'t>(text: &'t str, stops: &[&str]) -> (&'t str, Option<usize>) {
    for (end, _) in text.char_indices().map(|(i, c)| (i + c.len_utf8(), c)) {
        let seen = &text[..end];
        let hits =
            stops.iter().enumerate().filter(|(_, s)| !s.is_empty()).filter_map(|(i, s)| Some((seen.find(s)?, i)));
        if let Some((at, i)) = hits.min() {
            return (&text[..at], Some(i));
        }
    }
    (text, None)
}

#[test]
fn stop_strings_never_show() {
    let lists: &[&[&str]] = &[
        &[],
        &[""],
        &["b"],
        &["abab"],
        &["aab", "bb"],
        &["abc", "c"],
        &["é", "aé"],
        &["ab€", "€€"],
        &["\n\n", "aaaa"],
    ];
    let letters = ["a", "b", "c", "é", "€", "\n", "ab", "aa"];
    let mut state = 1u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for _ in 0..3000 {
        let text: String = (0..next(14)).map(|_| letters[next(letters.len())]).collect();
        let stops = lists[next(lists.len())];
        let (out, stopped) = pieces(&text, stops);
        let (want, which) = expected(&text, stops);
        assert_eq!((out.concat().as_str(), stopped), (want, which), "{text:?} {stops:?}");
    }
}

#[test]
fn text_shows_as_soon_as_it_is_certain() {
    assert_eq!(pieces("axyb", &["xyz"]).0, ["a", "", "", "xyb", ""]);
    assert_eq!(pieces("a€b", &[]).0, ["a", "", "", "€", "b", ""]);
    assert_eq!(pieces("ax", &["xyz"]).0, ["a", "", "x"]);
}

#[test]
fn a_generation_stops_at_its_string_and_frees_its_sequence() {
    let (prompt, want) = tokens(&models().join("qwen2-tied"));
    let tokenizer = tokenizer("qwen2-tied");
    let mut engine = fixture("qwen2-tied", &options());
    let mut run = |stops: Vec<String>| {
        let stream = TextStream::new(StreamDecoder::continuing(tokenizer.clone()), stops);
        let request = Request { max_tokens: want.len(), ..Request::new(prompt.clone()) };
        let mut generation = Generation::start(&mut engine, request, stream).unwrap();
        let (mut text, mut end) = (String::new(), None);
        while let Some(piece) = generation.next_piece().unwrap() {
            match piece {
                Piece::Prefill { done, total } => assert_eq!((done, total), (prompt.len(), prompt.len())),
                Piece::Text(t) => text.push_str(t),
                Piece::End { end: e, usage } => {
                    assert_eq!(usage.prompt, prompt.len());
                    end = Some(e);
                }
            }
        }
        drop(generation);
        assert!(engine.sequences() == (0, 0));
        (text, end.unwrap())
    };
    let (whole, end) = run(vec![]);
    assert_eq!((whole.as_str(), end), (tokenizer.decode(&want).as_str(), TextEnd::Sequence(FinishReason::Length)));
    let middle = whole.char_indices().nth(whole.chars().count() / 2).unwrap().0;
    let stop: String = whole[middle..].chars().take(2).collect();
    let (cut, end) = run(vec!["never there".to_owned(), stop.clone()]);
    assert_eq!((cut.as_str(), end), (&whole[..whole.find(&stop).unwrap()], TextEnd::StopString(1)));
}

#[test]
fn a_dropped_generation_is_cancelled() {
    let mut engine = fixture("qwen2-tied", &options());
    let mut generation = Generation::start(&mut engine, Request::new(vec![1, 2]), stream(&[])).unwrap();
    generation.next_piece().unwrap();
    drop(generation);
    assert_eq!(engine.sequences(), (0, 0));
    assert_eq!(engine.pages().0, engine.pages().1);
}

#[test]
fn a_cancelled_generation_gives_what_was_held_back_and_its_end() {
    let (prompt, want) = tokens(&models().join("qwen2-tied"));
    let tokenizer = tokenizer("qwen2-tied");
    let first = tokenizer.decode(&want[..1]);
    let mut engine = fixture("qwen2-tied", &options());
    let stream = TextStream::new(StreamDecoder::continuing(tokenizer), vec![first.clone() + "never there"]);
    let mut generation = Generation::start(&mut engine, Request::new(prompt), stream).unwrap();
    assert!(matches!(generation.next_piece(), Ok(Some(Piece::Prefill { .. }))));
    assert_eq!(generation.next_piece().unwrap(), Some(Piece::Text("")));
    generation.cancel();
    assert_eq!(generation.next_piece().unwrap(), Some(Piece::Text(&first)));
    let Ok(Some(Piece::End { end, usage })) = generation.next_piece() else { panic!("no end") };
    assert_eq!((end, usage.generated), (TextEnd::Sequence(FinishReason::Cancelled), 1));
    assert_eq!(generation.next_piece().unwrap(), None);
    assert_eq!(generation.tokens(), &want[..1]);
}
