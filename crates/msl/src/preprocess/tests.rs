//! Expansions against what the C standard and GNU's manual say they are.

use super::preprocess;
use crate::options::{IncludeForm, Included, ParseOptions};
use crate::token::{GLUED, Kind};

fn load(name: &str, _: IncludeForm, _: &str) -> Option<Included> {
    let text = match name {
        "once.h" => "#pragma once\nonce",
        "guard.h" => "#ifndef G\n#define G 1\nguarded\n#endif",
        "self.h" => "#include \"self.h\"",
        "sum.h" => "#define SUM(a, b) \\\n  (a + b)\n",
        _ => return None,
    };
    Some(Included { name: name.into(), text: text.into() })
}

/// The tokens of `text` between spaces, or its errors.
fn expand(text: &str) -> Result<String, String> {
    let options = ParseOptions { loader: &load, defines: &[("GIVEN", "7")], ..ParseOptions::default() };
    let p = preprocess("test.metal", text, &options);
    let errors: Vec<String> = p.diagnostics.iter().map(ToString::to_string).collect();
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    let mut out = String::new();
    for t in &p.tokens {
        if !out.is_empty() && t.flags & GLUED == 0 {
            out.push(' ');
        }
        let pragma = if t.kind == Kind::Pragma { "#pragma " } else { "" };
        out.push_str(pragma);
        out.push_str(p.spellings.text(t.sym));
    }
    Ok(out)
}

fn gives(text: &str, expected: &str) {
    assert_eq!(expand(text).as_deref(), Ok(expected), "for {text:?}");
}

fn fails(text: &str, expected: &str) {
    let got = expand(text).unwrap_err();
    assert!(got.contains(expected), "for {text:?}: {got:?} does not contain {expected:?}");
}

#[test]
fn objects_and_functions() {
    gives("#define A 1 + B\n#define B 2\nA A", "1 + 2 1 + 2");
    gives("#define F(x) x + x\nF(1) F (2) F", "1 + 1 2 + 2 F");
    gives("#define F(x, y) [x|y]\nF((1, 2), a b)", "[ ( 1 , 2 ) | a b ]");
    gives("#define F() none\nF() F( )", "none none");
    gives("#define F(x) <x>\nF() F(F(1))", "< > < < 1 > >");
    gives("#define F(x) x\nF(a\n b\n c)", "a b c");
    gives("#define F(x) x\n#undef F\nF(1)", "F ( 1 )");
    gives("#define EMPTY\n#define F(x) x\nF EMPTY (1)", "F ( 1 )");
    gives("GIVEN", "7");
    gives(
        "#define x 3\n#define f(a) f(x * (a))\n#undef x\n#define x 2\n#define g f\n#define z z[0]\nf(y+1) + f(f(z))",
        "f ( 2 * ( y + 1 ) ) + f ( 2 * ( f ( 2 * ( z [ 0 ] ) ) ) )",
    );
    gives("#define f(a) a*g\n#define g(a) f(a)\nf(2)(9)", "2 * 9 * g");
}

#[test]
fn strings_and_pastes() {
    gives("#define S(x) #x\nS( a  +\"b\\n\" )", "\"a +\\\"b\\\\n\\\"\"");
    gives("#define P(a, b) a##b\nP(x, 1) P(, y) P(z,) P(,)", "x1 y z");
    gives("#define P(a, b) a ## _ ## b\n#define X 9\nP(X, X)", "X_X");
    gives("#define C(a, b) P(a, b)\n#define P(a, b) a##b\n#define X y\nC(X, 1)", "y1");
    gives(
        "#define hash_hash # ## #\n#define mkstr(a) # a\n#define in_between(a) mkstr(a)\n#define join(c, d) in_between(c hash_hash d)\njoin(x, y)",
        "\"x ## y\"",
    );
    gives(
        "#define t(x,y,z) x ## y ## z\nt(1,2,3) t(,4,5) t(6,,7) t(8,9,) t(10,,) t(,11,) t(,,12) t(,,)",
        "123 45 67 89 10 11 12",
    );
    fails("#define P(a, b) a##b\nP(+, x)", "test.metal:2:1: error: ## makes \"+x\"");
}

#[test]
fn variadic() {
    gives("#define V(...) f(__VA_ARGS__)\nV() V(1) V(1, 2)", "f ( ) f ( 1 ) f ( 1 , 2 )");
    gives("#define V(a, ...) a(0, ## __VA_ARGS__)\nV(f) V(f, 1) V(f, 1, 2)", "f ( 0 ) f ( 0 , 1 ) f ( 0 , 1 , 2 )");
    gives("#define V(a, ...) f(a __VA_OPT__(,) __VA_ARGS__)\nV(1) V(1, 2)", "f ( 1 ) f ( 1 , 2 )");
    gives("#define V(rest...) g(rest)\nV(1, 2)", "g ( 1 , 2 )");
    fails("#define F(a, b) a\nF(1)", "macro F takes 2 arguments, 1 are given");
    fails("#define F(a) a\nF(1", "have no closing )");
}

#[test]
fn conditions() {
    gives("#if 0\nno\n#elif 1\nyes\n#else\nno\n#endif", "yes");
    gives("#ifdef A\nno\n#elifndef A\nyes\n#endif", "yes");
    gives("#if defined(GIVEN) && GIVEN == 7 && !defined A\nyes\n#endif", "yes");
    gives("#if __METAL_VERSION__ >= 310 && defined(__HAVE_BFLOAT__)\nyes\n#endif", "yes");
    gives("#if (1 ? 2 : 1/0) == 2 && (0 && 1/0) == 0\nyes\n#endif", "yes");
    gives("#if -1 > 0u && 0x10 == 16 && 010 == 8 && 'a' == 97 && (7 % 4 << 2) == 12\nyes\n#endif", "yes");
    gives(
        "#if __has_include(<metal_stdlib>) && __has_include(\"sum.h\") && !__has_include(\"no.h\")\nyes\n#endif",
        "yes",
    );
    gives("#if 0\n#error \"no\"\n#if garbage ( (\n#endif\nit's fine\n#endif\nyes", "yes");
    gives("#if UNKNOWN\n#else\nyes\n#endif", "yes");
    fails("#if 1 / 0\n#endif", "test.metal:1:2: error: in this condition: division by zero");
    fails("#if 1\n", "test.metal:1:2: error: this conditional has no #endif");
    fails("#endif", "#endif without #if");
    fails("#if 1\n#else\n#else\n#endif", "after #else");
    fails("#if 1 +\n#endif", "an operand is missing");
    fails("\n  #error what is wrong", "test.metal:2:4: error: #error what is wrong");
}

#[test]
fn includes() {
    gives("#include \"once.h\"\n#include \"once.h\"\n#include <metal_stdlib>\n#include <simd/simd.h>", "once");
    gives("#include \"guard.h\"\n#include \"guard.h\"", "guarded");
    gives("#include \"sum.h\"\nSUM(1, 2)", "( 1 + 2 )");
    gives("#define WHICH \"once.h\"\n#include WHICH", "once");
    fails("#include \"self.h\"", "includes are nested more than");
    fails("\n#include <nothing.h>", "test.metal:2:2: error: include file \"nothing.h\" is not found");
}

#[test]
fn pragmas() {
    gives("#define N 4\n#pragma unroll(N)\nx", "#pragma unroll(4) x");
    gives("#define UNROLL _Pragma(\"clang loop unroll(full)\")\nUNROLL for", "#pragma clang loop unroll(full) for");
    gives("#define F(x) _Pragma(\"unroll\") x\nF(a) F(b)", "#pragma unroll a #pragma unroll b");
}

#[test]
fn comments_and_splices() {
    gives("a /* b\n c */ d // e \\\n f\ng", "a d g");
    gives("a\\\nb", "ab");
    gives("1.5e-3f 0x1p-4 1'000 .5h a.b 1..2", "1.5e-3f 0x1p-4 1'000 .5h a . b 1..2");
    gives("a>>=b>>c->*d", "a >>= b >> c ->* d");
    fails("/* no end", "test.metal:1:1: error: this comment has no end");
    fails("a \"no end", "this \" has no closing");
    fails("a @ b", "test.metal:1:3: error: stray \"@\"");
}

#[test]
fn places_are_the_users() {
    let text = "#define BODY(x) (x + \\\n   1)\n\n  BODY(a\n)";
    let p = preprocess("t", text, &ParseOptions::default());
    let at = |text: &str| {
        let t = p.tokens.iter().find(|t| p.spellings.text(t.sym) == text).unwrap();
        ((t.from.line, t.from.column), (t.at.line, t.at.column))
    };
    assert_eq!(at("+"), ((4, 3), (1, 20)), "a token of the body: reported at the use, spelled in the body");
    assert_eq!(at("1"), ((4, 3), (2, 4)));
    assert_eq!(at("a"), ((4, 8), (4, 8)), "an argument: reported where it stands");
}

#[test]
fn hostile_expansions_end() {
    let mut laughs = String::from("#define A0 x x\n");
    for i in 1..64 {
        laughs.push_str(&format!("#define A{i} A{} A{}\n", i - 1, i - 1));
    }
    fails(&format!("{laughs}A63"), "give more than");
    let mut empty = String::from("#define A0\n");
    for i in 1..64 {
        empty.push_str(&format!("#define A{i} A{} A{}\n", i - 1, i - 1));
    }
    fails(&format!("{empty}A63"), "give more than");
    fails(&format!("#define F(x) x x\n{}1{}", "F(".repeat(3000), ")".repeat(3000)), "more than");
    fails(&format!("#if {}1", "(".repeat(100_000)), "nested too deep");
    gives(&format!("#if {}1\nyes\n#endif", "!!".repeat(50_000)), "yes");
}
