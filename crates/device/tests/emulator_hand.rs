use metallic_device::emulator::*;
use metallic_device::Device;

fn run(defs: &str, mode: Mode, seeds: Vec<u64>) -> (Faults, Vec<f32>) {
    let text = format!("{defs}\n{}", std::fs::read_to_string("/tmp/emu/hand.cpp").unwrap());
    eprintln!("new"); let e = Emulator::new(mode).unwrap(); eprintln!("made");
    let arg = |index, name: &str, kind| Argument { index, name: name.into(), place: None, kind, element: Some(4) };
    let program = e
        .compile_text(Text {
            text: &text,
            symbol: "entry",
            name: "kern",
            place: None,
            arguments: vec![arg(0, "x", ArgumentKind::ReadOnly), arg(1, "y", ArgumentKind::Writable)],
            max_threads: None,
        })
        .unwrap();
    eprintln!("compiled"); let x = e.alloc(4 * 256).unwrap();
    let y = e.alloc_output(4 * 256).unwrap();
    let data: Vec<u8> = (0..256).flat_map(|i| (i as f32).to_le_bytes()).collect();
    x.write(0, &data).unwrap();
    eprintln!("alloced"); let launch = Launch {
        grid: Grid::Groups([4, 1, 1]),
        threads: [64, 1, 1],
        buffers: vec![(0, x.whole()), (1, y.whole())],
        threadgroup: vec![],
        outputs: vec![1],
    };
    let faults = e.launch(&program, &launch, &Schedules { seeds, ..Default::default() }).unwrap();
    let mut out = vec![0; 1024];
    y.read(0, &mut out).unwrap();
    (faults, out.chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect())
}

#[test]
fn hand() {
    for mode in [Mode::Checked, Mode::Fast(Some(2))] {
        let (faults, out) = run("#define MAYBE_BARRIER barrier(2);\n#define OFF 0", mode, vec![0, 1, 2]);
        println!("{mode:?} {faults} {:?}", &out[..4]);
    }
    println!("{}", run("#define MAYBE_BARRIER\n#define OFF 0", Mode::Checked, vec![0]).0);
    println!("{}", run("#define MAYBE_BARRIER barrier(1);\n#define OFF 0", Mode::Checked, vec![0]).0);
    println!("{}", run("#define MAYBE_BARRIER barrier(2);\n#define OFF 1", Mode::Checked, vec![0]).0);
    println!("{}", run("#define MAYBE_BARRIER if (t < 40) barrier(2);\n#define OFF 0", Mode::Checked, vec![0]).0);
    println!("{}", run("#define MAYBE_BARRIER barrier(2); tile[7000000] = 1;\n#define OFF 0", Mode::Checked, vec![0]).0);
    println!("{}", run("#define MAYBE_BARRIER for (;;) {}\n#define OFF 0", Mode::Checked, vec![0]).0);
    println!("{}", run("#define MAYBE_BARRIER barrier(2); y[n/(n-n)]=2;\n#define OFF 0", Mode::Checked, vec![0]).0);
}
