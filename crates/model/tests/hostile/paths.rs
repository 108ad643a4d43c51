//! Paths that are no models.

use metallic_model::ModelFile;
use std::path::Path;

fn refused(path: &Path) -> String {
    ModelFile::open(path).map(|_| ()).expect_err("opened").to_string()
}

#[test]
fn paths_that_are_no_models_are_refused_by_name() {
    let dir = std::env::temp_dir().join(format!("metallic-paths-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let missing = dir.join("missing.gguf");
    assert!(refused(&missing).contains("missing.gguf"));
    assert!(refused(&dir).contains("config.json"), "{}", refused(&dir));
    let empty = dir.join("empty.gguf");
    std::fs::write(&empty, b"").unwrap();
    let e = refused(&empty);
    assert!(e.contains("empty.gguf") && e.contains("the file ends at byte 0"), "{e}");
    std::fs::create_dir(dir.join("folder-00001-of-00002.gguf")).unwrap();
    std::fs::write(dir.join("text.gguf"), "hello").unwrap();
    let e = refused(&dir);
    assert!(e.contains("did you mean") && e.contains("empty.gguf"), "{e}");
    assert!(refused(&dir.join("text.gguf")).contains("`hell`: not a GGUF file"));
    #[cfg(unix)]
    assert!(refused(Path::new("/dev/null")).contains("not a regular file"));
    std::fs::remove_dir_all(dir).unwrap();
}
