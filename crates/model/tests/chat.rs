//! Chat templates as published models write them. The expected texts were read against each format's description and
//! come out of Jinja2 with transformers' settings as well.

use metallic_model::ModelFile;
use metallic_model::chat::{ChatError, ChatTemplate, Conversation, Ending, Message};
use metallic_model::tokenizer::{GgufVocab, Special, Tokenizer, TokenizerSource};
use std::path::Path;

fn messages(list: &[(&str, &str)]) -> Vec<Message> {
    list.iter().map(|&(role, content)| Message::new(role, content)).collect()
}

fn render(source: &str, bos: &str, eos: &str, list: &[(&str, &str)]) -> Result<String, ChatError> {
    let messages = messages(list);
    ChatTemplate::new(source, bos, eos)?.render(&Conversation { messages: &messages, ..Conversation::default() })
}

const TALK: [(&str, &str); 4] =
    [("system", "Be brief."), ("user", " Hi there! "), ("assistant", "Hello."), ("user", "Who?\n")];

#[test]
fn llama3() {
    let text = render(include_str!("chat/llama3.jinja"), "<|begin_of_text|>", "<|eot_id|>", &TALK).unwrap();
    assert_eq!(
        text,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi there!<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
}

#[test]
fn llama2() {
    let text = render(include_str!("chat/llama2.jinja"), "<s>", "</s>", &TALK).unwrap();
    assert_eq!(text, "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hi there! [/INST] Hello. </s><s>[INST] Who? [/INST]");
}

#[test]
fn mistral() {
    let text = render(include_str!("chat/mistral.jinja"), "<s>", "</s>", &TALK[1..]).unwrap();
    assert_eq!(text, "<s>[INST]  Hi there!  [/INST]Hello.</s> [INST] Who?\n [/INST]");
}

#[test]
fn smollm_puts_its_system_message_first() {
    let text = render(include_str!("chat/smollm.jinja"), "<|im_start|>", "<|im_end|>", &TALK[1..]).unwrap();
    assert_eq!(
        text,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n\
         <|im_start|>user\n Hi there! <|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n\
         <|im_start|>user\nWho?\n<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn a_template_with_tools_thinking_and_python_methods() {
    let template = ChatTemplate::new(include_str!("chat/thinking.jinja"), "", "").unwrap();
    let messages = messages(&[
        TALK[0],
        TALK[1],
        ("assistant", "<think>\nHm.\n</think>\n\nYes."),
        TALK[3],
        ("assistant", "<think>\nWho?\n</think>\n\nMe."),
    ]);
    let tools = serde_json::json!([{"name": "f", "args": {"x": "<é>"}}]);
    let mut conversation = Conversation { messages: &messages, ..Conversation::default() };
    conversation.variables.insert("tools".into(), tools);
    assert_eq!(
        template.render(&conversation).unwrap(),
        "<|im_start|>system\nBe brief.\n\n# Tools\n<tools>\n{\"name\": \"f\", \"args\": {\"x\": \"<é>\"}}\n</tools><|im_end|>\n\
         <|im_start|>user\n Hi there! <|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n\
         <|im_start|>user\nWho?\n<|im_end|>\n<|im_start|>assistant\n<think>\nWho?\n</think>\n\nMe.<|im_end|>\n\
         <|im_start|>assistant\n"
    );
    let mut conversation = Conversation { messages: &messages[1..2], ..Conversation::default() };
    conversation.variables.insert("enable_thinking".into(), false.into());
    assert_eq!(
        template.render(&conversation).unwrap(),
        "<|im_start|>user\n Hi there! <|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    );
    conversation.ending = Ending::Message;
    assert_eq!(template.render(&conversation).unwrap(), "<|im_start|>user\n Hi there! <|im_end|>\n");
}

#[test]
fn qwen2_as_its_file_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vocab/ggml-vocab-qwen2.gguf");
    if !path.exists() {
        eprintln!("NOT TESTED: {} is absent, so its template was not rendered", path.display());
        return;
    }
    let model = ModelFile::open(&path).unwrap();
    let tokenizer = Tokenizer::from_model(&model).unwrap();
    let template = ChatTemplate::for_tokenizer(model.chat_template(), &tokenizer).unwrap();
    let messages = messages(&[("user", "hi")]);
    let text = template.render(&Conversation { messages: &messages, ..Conversation::default() }).unwrap();
    assert_eq!(
        text,
        "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    );
    let ids = tokenizer.encode_prompt(&text, Special::Parse);
    assert_eq!(ids[..3], [151644, 8948, 198]);
    assert_eq!(ids[ids.len() - 3..], [151644, 77091, 198]);
}

fn tokenizer(model: &str, tokens: &[&str]) -> Tokenizer {
    Tokenizer::new(&TokenizerSource::Gguf(GgufVocab {
        model,
        tokens: tokens.iter().map(|token| token.as_bytes()).collect(),
        types: Some(vec![3; tokens.len()]),
        scores: Some(vec![0.0; tokens.len()]),
        bos: Some(0),
        eos: Some(1),
        ..GgufVocab::default()
    }))
    .unwrap()
}

#[test]
fn without_a_template_the_vocabulary_decides() {
    let messages = messages(&TALK);
    let conversation = Conversation { messages: &messages, ..Conversation::default() };
    let render = |model, tokens: &[&str]| {
        ChatTemplate::for_tokenizer(None, &tokenizer(model, tokens)).and_then(|template| template.render(&conversation))
    };
    assert_eq!(
        render("gpt2", &["<|im_start|>", "<|im_end|>"]).unwrap(),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi there! <|im_end|>\n\
         <|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWho?\n<|im_end|>\n<|im_start|>assistant\n"
    );
    let llama3 = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"];
    assert_eq!(
        render("gpt2", &llama3).unwrap(),
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi there!<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(
        render("llama", &["<s>", "</s>"]).unwrap(),
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi there! [/INST] Hello. </s><s>[INST] Who? [/INST]"
    );
    assert!(matches!(render("gpt2", &["<s>", "</s>"]), Err(ChatError::NoTemplate)));
}

#[test]
fn a_refusal_is_told_from_a_failure() {
    let user = [("user", "a"), ("user", "b")];
    let refused = render(include_str!("chat/llama2.jinja"), "<s>", "</s>", &user).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the chat template refuses these messages: Conversation roles must alternate user/assistant/user/assistant/..."
    );
    assert!(matches!(render("{% for %}", "", "", &[]), Err(ChatError::Syntax(_))));
    assert!(matches!(render("{{ messages[7].role.x }}", "", "", &[]), Err(ChatError::Render(_))));
    assert!(matches!(render("{{ open('/etc/passwd') }}", "", "", &[]), Err(ChatError::Render(_))));
    assert!(matches!(render("{% include 'x' %}", "", "", &[]), Err(ChatError::Render(_))));
}

#[test]
fn templates_that_never_end_are_stopped() {
    let nested = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    let recursive = "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}";
    let wide = "{% set x = 'abcdefgh' * 1000 %}{% for a in range(100000) %}{{ x }}{% endfor %}";
    assert!(matches!(render(nested, "", "", &[]), Err(ChatError::Endless { .. })));
    assert!(matches!(render(wide, "", "", &[]), Err(ChatError::Endless { .. })));
    assert!(matches!(render(recursive, "", "", &[]), Err(ChatError::Render(_))));
    let deep = format!("{}1{}", "{{ ".to_owned() + &"(".repeat(100_000), ")".repeat(100_000) + " }}");
    assert!(matches!(render(&deep, "", "", &[]), Err(ChatError::Syntax(_))));
    assert!(matches!(render("{{ 'x' * 100000000000 }}", "", "", &[]), Err(ChatError::Render(_))));
}

#[test]
fn long_conversations_have_steps_enough() {
    let messages: Vec<Message> =
        (0..1000).map(|i| Message::new(if i % 2 == 0 { "user" } else { "assistant" }, "word ".repeat(100))).collect();
    let template = ChatTemplate::new(include_str!("chat/thinking.jinja"), "", "").unwrap();
    let text = template.render(&Conversation { messages: &messages, ..Conversation::default() }).unwrap();
    assert_eq!(text.matches("<|im_end|>").count(), 1000);
}
