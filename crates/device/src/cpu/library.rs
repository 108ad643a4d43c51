//! The `gemm` crate (faer's and candle's matrix products) as variants of matmul.
//!
//! The outputs are cut into tiles that depend on the problem alone, each one call of the crate on one worker, so that results do not
//! depend on the number of workers.

use metallic_kernels::contract::{Args, Limits, Native, Target};
use metallic_kernels::matmul::MatmulParams;

use gemm::{Parallelism, f16};

const NAME: &str = "gemm";

/// Lets variants of libraries run.
pub(super) fn allow(limits: &mut Limits) {
    limits.targets.push(Target::Library);
    limits.features.push(NAME);
}

/// The code of `entry` of `library`.
pub(super) fn native(library: &str, entry: &str) -> Option<Native> {
    let phases: &[metallic_kernels::contract::Phase] = match (library, entry) {
        (NAME, "gemm_f32") => &[product::<f32>],
        (NAME, "gemm_f16") => &[product::<f16>],
        _ => return None,
    };
    Some(Native { phases, scratch: |_, _| 0 })
}

/// A type of elements that the crate multiplies.
trait Element: Copy + 'static {
    fn of(factor: f32) -> Self;
}

impl Element for f32 {
    fn of(factor: f32) -> f32 {
        factor
    }
}

impl Element for f16 {
    fn of(factor: f32) -> f16 {
        f16::from_f32(factor)
    }
}

/// Rows of a tile at most.
const ROWS: usize = 256;

/// Columns of a tile: a sixteenth of all, within what makes packing x for each worthwhile.
fn columns(n: usize) -> usize {
    (n / 16).next_multiple_of(64).clamp(128, 1024)
}

/// Elements from one row to the next and from one column to the next.
#[derive(Clone, Copy)]
struct Strides {
    row: usize,
    col: usize,
}

impl Strides {
    fn of(row: u32, transposed: bool) -> Strides {
        let (row, col) = (row as usize, 1);
        if transposed { Strides { row: col, col: row } } else { Strides { row, col } }
    }

    fn at(self, row: usize, col: usize) -> usize {
        row * self.row + col * self.col
    }
}

/// y = alpha x w (+ beta y), this worker's tiles of it.
///
/// # Safety
/// As for every phase: operands are as large as the arguments say, of elements `T`.
unsafe fn product<T: Element>(a: &Args<'_>) {
    let p: &MatmulParams = a.params.get();
    let (n, k) = (p.n as usize, p.k as usize);
    let [y, x, w] = [0, 1, 2].map(|operand: usize| a.buffers[operand].ptr.cast::<T>());
    let own_y = Strides::of(p.ldy, false);
    let own_x = Strides::of(p.ldx, p.transpose_a != 0);
    // w as (k, n), whichever way it is stored.
    let own_w = if p.transpose_b != 0 { Strides::of(p.k, true) } else { Strides::of(p.n, false) };
    let (down, across) = (a.rows.div_ceil(ROWS), n.div_ceil(columns(n)));
    for tile in a.share(p.batch as usize * down * across, 1) {
        let (problem, row, col) = (tile / (down * across), tile / across % down * ROWS, tile % across * columns(n));
        let [bx, bw, by] = [p.bx, p.bw, p.by].map(|b| b as usize * problem);
        // SAFETY: the tile's elements lie inside of the operands, and no other worker writes this tile.
        unsafe {
            gemm::gemm(
                ROWS.min(a.rows - row),
                columns(n).min(n - col),
                k,
                y.add(by + own_y.at(row, col)),
                own_y.col as isize,
                own_y.row as isize,
                p.accumulate != 0,
                x.add(bx + own_x.at(row, 0)),
                own_x.col as isize,
                own_x.row as isize,
                w.add(bw + own_w.at(0, col)),
                own_w.col as isize,
                own_w.row as isize,
                T::of(p.beta),
                T::of(p.alpha),
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use metallic_kernels::DType;
    use metallic_kernels::cases::Rng;
    use metallic_kernels::contract::{Args, Params, Slice};
    use metallic_kernels::matmul::{MatmulParams, OP};

    use gemm::f16;

    use super::native;

    /// The largest error of x w^T by `entry`, as a part of the budget.
    fn worst<T: Copy>(entry: &str, dtype: DType, [m, n, k]: [usize; 3], of: fn(f32) -> T, to: fn(T) -> f64) -> f64 {
        let mut rng = Rng(1);
        let mut draw = |count, std| -> Vec<T> { rng.normals(count, std).into_iter().map(of).collect() };
        let (mut x, mut w, mut y) = (draw(m * k, 1.0), draw(n * k, 0.05), draw(m * n, 1.0));
        let slice = |v: &mut Vec<T>| Slice { ptr: v.as_mut_ptr().cast(), len: size_of_val(v.as_slice()) };
        let buffers = [slice(&mut y), slice(&mut x), slice(&mut w)];
        let params = Params::new(&MatmulParams::new(n, k));
        for worker in 0..3 {
            let (scratch, claimed) = (Slice::NONE, &Default::default());
            let args = Args { buffers: &buffers, params: &params, rows: m, worker, workers: 3, scratch, claimed };
            // SAFETY: operands of these sizes, one worker after another.
            native("gemm", entry).unwrap().phases.iter().for_each(|phase| unsafe { phase(&args) });
        }
        let outputs = (0..m).flat_map(|r| (0..n).map(move |j| (r, j)));
        let part = |(r, j): (usize, usize)| {
            let terms = (0..k).map(|i| to(x[r * k + i]) * to(w[j * k + i]));
            let (sum, squares) = terms.fold((0.0, 0.0), |(sum, squares), t| (sum + t, squares + t * t));
            (to(y[r * n + j]) - sum).abs() / ((OP.budget)(dtype) * squares.sqrt() + 4.9e-4 * sum.abs())
        };
        outputs.map(part).fold(0.0, f64::max)
    }

    #[test]
    fn tiles_make_up_the_whole() {
        let part = worst("gemm_f32", DType::F32, [300, 200, 40], |v| v, f64::from);
        assert!(part < 1.0, "{part}");
        let part = worst("gemm_f16", DType::F16, [300, 200, 40], f16::from_f32, f16::to_f64);
        assert!(part < 1.0, "{part}");
    }

    #[test]
    fn long_sums_of_halves_stay_within_the_budget() {
        for rows in [1, 2, 20] {
            let part = worst("gemm_f16", DType::F16, [rows, 130, 9000], f16::from_f32, f16::to_f64);
            assert!(part < 0.9, "{rows} rows: {part}");
        }
    }
}
