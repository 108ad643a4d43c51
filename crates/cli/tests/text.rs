//! Commands that compute: run, chat, logits, bench, on tiny models; and Ctrl-C.

mod common;

use common::{Folder, fails, metallic, npy, ok, output, text, with_input};
use serde_json::{Value, json};

fn run_json(model: &str, more: &[&str]) -> Value {
    let args = [&["run", model, "Hello", "-n", "12", "--output-format", "json"], more].concat();
    serde_json::from_str(&ok(&args)).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_text_with_any_number_of_threads() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let one = run_json(&model, &["--seed", "42", "--threads", "1"]);
    let two = run_json(&model, &["--seed", "42", "--threads", "2"]);
    let other = run_json(&model, &["--seed", "43"]);
    assert_eq!((&one["tokens"], &one["text"]), (&two["tokens"], &two["text"]));
    assert_ne!(one["tokens"], other["tokens"]);
    let greedy = || run_json(&model, &["--temperature", "0"])["tokens"].clone();
    assert_eq!(greedy(), greedy());
}

#[test]
fn the_program_without_a_command_runs() {
    let folder = Folder::new();
    let model = folder.model("tiny-llama", "f16");
    let out = output(&[&model, "Hello", "--output-format", "none", "--seed", "42", "-n", "4"]);
    assert!(out.status.success());
    assert_eq!(text(&out.stdout), "");
    let err = text(&out.stderr);
    assert!(err.contains("TPS Total: ") && err.contains("TPS Decode: ") && err.contains("seed 42"), "{err}");

    let bare = metallic(&[]).env("METALLIC_MODEL", &model).args(["-n", "4"]).output().unwrap();
    assert!(bare.status.success(), "{}", text(&bare.stderr));
    assert!(text(&bare.stderr).contains("tiny-llama"), "{}", text(&bare.stderr));
    assert!(text(&bare.stdout).starts_with("What is ownership?"), "{}", text(&bare.stdout));
}

#[test]
fn the_shipped_model_answers() {
    let out = metallic(&[]).env_remove("METALLIC_MODEL").output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let answer = text(&out.stdout);
    // Its greedy answer in f32 by transformers (models/rusty-11m/samples.md) begins so.
    assert!(answer.contains("Ownership is a set of rules that govern how a Rust program manages memory"), "{answer}");
    assert!(text(&out.stderr).contains("rusty-11m"), "{}", text(&out.stderr));
}

#[test]
fn json_of_run_holds_what_it_promises() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen3", "q8_0");
    let report = run_json(&model, &["--seed", "5", "--ignore-eos"]);
    assert_eq!(report["token_count"], 12);
    assert_eq!(report["tokens"].as_array().unwrap().len(), 12);
    assert_eq!(report["prompt_count"].as_u64().unwrap() as usize, report["prompt_tokens"].as_array().unwrap().len());
    assert_eq!((&report["finish_reason"], &report["seed"]), (&"length".into(), &5.into()));
    for figure in ["load_s", "ttft_s", "prefill_tps", "decode_tps", "total_tps"] {
        assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}");
    }
}

#[test]
fn prompts_come_from_files_and_standard_input() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "f16");
    let file = folder.path("prompt.txt");
    std::fs::write(&file, "Hello").unwrap();
    let at = format!("@{}", file.display());
    let rest = ["-n", "6", "--seed", "1", "--output-format", "json"];
    let tokens = |json: &str| serde_json::from_str::<Value>(json).unwrap()["tokens"].clone();
    let direct = tokens(&ok(&[&["run", &model, "Hello"][..], &rest].concat()));
    assert_eq!(tokens(&ok(&[&["run", &model, &at][..], &rest].concat())), direct);
    let piped = with_input(&[&["run", &model, "-"][..], &rest].concat(), b"Hello");
    assert_eq!(tokens(&text(&piped.stdout)), direct);
    let err = fails(&["run", &model], 1);
    assert!(err.contains("prompt") && err.contains("chat"), "{err}");
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    for (flags, expected) in [
        (&["--temperature", "-1"][..], "temperature"),
        (&["--top-p", "2"], "top_p"),
        (&["--logit-bias", "999999=1"], "999999"),
        (&["--context", "100000000"], "context"),
        (&["--context", "2"], "help: shorten the prompt"),
        (&["--without", ""], "amx-tile"),
        (&["--chunk", "0"], "chunk"),
        (&["--force", "matmul=nothing"], "nothing"),
        (&["--threads", "0"], "threads"),
    ] {
        let err = fails(&[&["run", &model, "Hello", "-n", "2"], flags].concat(), 1);
        assert!(err.contains(expected), "{flags:?}: {err}");
    }
}

#[test]
fn a_bias_forbids_and_a_stop_string_ends() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let first = run_json(&model, &["--temperature", "0"])["tokens"][0].to_string();
    let biased = run_json(&model, &["--temperature", "0", "--logit-bias", &format!("{first}=-1000")]);
    assert_ne!(biased["tokens"][0].to_string(), first);
    let whole = run_json(&model, &["--seed", "3", "--ignore-eos"]);
    let written = whole["text"].as_str().unwrap();
    if let Some(stop) = written.chars().nth(2).map(String::from) {
        let cut = run_json(&model, &["--seed", "3", "--ignore-eos", "--stop", &stop]);
        assert_eq!(cut["finish_reason"], "stop_string");
        assert_eq!(cut["text"].as_str().unwrap(), &written[..written.find(&stop).unwrap()]);
    }
}

#[test]
fn logits_of_a_prefill_and_of_single_steps_agree() {
    let folder = Folder::new();
    let model = folder.model("tiny-llama", "f32");
    let (a, b) = (folder.path("a.npy"), folder.path("b.npy"));
    ok(&["logits", &model, "--tokens", "1,2,3,4,5", "-o", a.to_str().unwrap()]);
    ok(&["logits", &model, "--tokens", "1 2 3 4 5", "--decode", "-o", b.to_str().unwrap()]);
    let ((header, whole), (_, steps)) = (npy(&a), npy(&b));
    assert!(header.contains("'<f4'") && header.contains("(5, 512)"), "{header}");
    assert_eq!(whole.len(), 5 * 512);
    let range = whole.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(range > 0.1, "logits are all near zero");
    let worst = whole.iter().zip(&steps).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4 * range, "{worst} of {range}");
    for bad in ["1,x", "512", ""] {
        fails(&["logits", &model, "--tokens", bad, "-o", folder.path("c.npy").to_str().unwrap()], 1);
    }
    assert!(folder.files().iter().all(|f| !f.contains("c.npy")), "{:?}", folder.files());
}

#[test]
fn quantized_logits_stay_near() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "f32");
    let smaller = folder.path("q8.gguf");
    ok(&["quantize", &model, smaller.to_str().unwrap(), "q8_0"]);
    let (a, b) = (folder.path("a.npy"), folder.path("b.npy"));
    ok(&["logits", &model, "--tokens", "7,8,9", "-o", a.to_str().unwrap()]);
    ok(&["logits", smaller.to_str().unwrap(), "--tokens", "7,8,9", "-o", b.to_str().unwrap()]);
    let (exact, near) = (npy(&a).1, npy(&b).1);
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let error = norm(&mut exact.iter().zip(&near).map(|(x, y)| f64::from(x - y)));
    assert!(error < 0.05 * norm(&mut exact.iter().map(|x| f64::from(*x))), "{error}");
}

/// What a chat with these lines says beside its answers.
fn chat(folder: &Folder, model: &str, input: &str) -> String {
    let args = ["chat", model, "-n", "5", "--context", "64", "--seed", "1", "--temperature", "0"];
    let mut child = metallic(&args);
    let child = child.env("XDG_STATE_HOME", folder.path("state")).stdin(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let err = text(&out.stderr);
    assert!(out.status.success(), "{err}");
    err
}

#[test]
fn chat_answers_what_is_piped_to_it() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let saved = folder.path("saved.json");
    let input = format!("Hello\n/help\n/save {}\n/nothing\n/clear\n", saved.display());
    let err = chat(&folder, &model, &input);
    assert!(err.contains("/system") && err.contains("there is no /nothing"), "{err}");
    let messages: Value = serde_json::from_str(&std::fs::read_to_string(saved).unwrap()).unwrap();
    assert_eq!(messages[0]["content"], "Hello");
    assert_eq!(messages[1]["role"], "assistant");
}

#[test]
fn what_cannot_be_answered_leaves_the_conversation_as_it_was() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let (before, after) = (folder.path("before.json"), folder.path("after.json"));
    let long = "too long ".repeat(50);
    let told = json!([{ "role": "user", "content": long }, { "role": "assistant", "content": "so it is" }]);
    std::fs::write(&before, told.to_string()).unwrap();
    let input = format!("/load {}\n/retry\nHello\n/save {}\n", before.display(), after.display());
    let err = chat(&folder, &model, &input);
    assert_eq!(err.matches("but the context holds 64").count(), 2, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&std::fs::read_to_string(after).unwrap()).unwrap(), told);
}

#[test]
fn bench_formats_parse_and_agree() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let bench = |format, n_prompt, repetitions| {
        ok(&["bench", &model, "-p", n_prompt, "-n", "4", "-r", repetitions, "-t", "1", "-o", format])
    };
    let records: Value = serde_json::from_str(&bench("json", "16", "2")).unwrap();
    for (i, (prompt, generated)) in [(16, 0), (0, 4)].into_iter().enumerate() {
        let r = &records[i];
        assert_eq!((&r["n_prompt"], &r["n_gen"], &r["n_threads"]), (&prompt.into(), &generated.into(), &1.into()));
        assert_eq!(r["samples_ts"].as_array().unwrap().len(), 2);
        for field in
            ["avg_ts", "median_ts", "bandwidth_fraction", "compute_fraction", "ttft", "bytes_per_token", "avg_ns"]
        {
            assert!(r[field].as_f64().unwrap() > 0.0, "{field}");
        }
        assert!(r["min_ts"].as_f64() <= r["median_ts"].as_f64() && r["median_ts"].as_f64() <= r["max_ts"].as_f64());
    }
    let lines: Vec<Value> = bench("jsonl", "16", "1").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let csv = bench("csv", "0", "1");
    let fields = csv.lines().next().unwrap().split(',').count();
    assert_eq!(csv.lines().count(), 2);
    assert_eq!(csv.lines().nth(1).unwrap().matches("\",\"").count() + 1, fields);
    let md = bench("md", "0", "1");
    assert!(md.starts_with("| model") && md.contains("tg4") && !md.contains("pp"), "{md}");
}

#[cfg(unix)]
mod interrupted {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::Child;
    use std::time::{Duration, Instant};

    fn send(child: &Child, signal: i32) {
        // SAFETY: kill takes no pointers; the child is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
    }

    fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            assert!(start.elapsed() < Duration::from_secs(120), "{what} did not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn synth_leaves_no_file() {
        let folder = Folder::new();
        let path = folder.path("big.gguf");
        // `timeout` sends its signal twice, and a service's stop is followed by a hangup.
        for signals in [&[libc::SIGINT][..], &[libc::SIGTERM, libc::SIGHUP], &[libc::SIGHUP, libc::SIGTERM]] {
            let mut child =
                metallic(&["synth", "llama-3.2-1b", path.to_str().unwrap(), "--dtype", "q8_0"]).spawn().unwrap();
            wait_for("the file's beginning", || !folder.files().is_empty());
            signals.iter().for_each(|signal| send(&child, *signal));
            let status = child.wait().unwrap();
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            assert_eq!((status.code(), err.as_str()), (Some(130), "interrupted\n"), "{signals:?}");
            assert!(folder.files().is_empty(), "{signals:?}: {:?}", folder.files());
        }
    }

    #[test]
    fn nohup_outlives_its_terminal() {
        let folder = Folder::new();
        let path = folder.path("big.gguf");
        let mut command = metallic(&["synth", "llama-3.2-1b", path.to_str().unwrap(), "--dtype", "q8_0"]);
        // SAFETY: signal is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        wait_for("the file's beginning", || !folder.files().is_empty());
        send(&child, libc::SIGHUP);
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "ended by a hangup");
        send(&child, libc::SIGINT);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(folder.files().is_empty(), "{:?}", folder.files());
    }

    #[test]
    fn run_ends_with_what_it_has_written() {
        let folder = Folder::new();
        let model = folder.model("tiny-qwen2", "q8_0");
        let args = ["run", &model, "Hello", "-n", "100000", "--context", "2048", "--ignore-eos", "--seed", "1"];
        let slow = ["--force", "matmul=cpu/plain", "--threads", "1"];
        let mut child = metallic(&[&args[..], &slow].concat()).spawn().unwrap();
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        send(&child, libc::SIGINT);
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(130));
        let err = text(&out.stderr);
        assert!(err.contains("interrupted |") && err.ends_with("interrupted\n") && !err.contains("panicked"), "{err}");
    }
}
