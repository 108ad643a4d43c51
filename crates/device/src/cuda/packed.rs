//! A launch's parameters as the driver takes them.

use std::ffi::c_void;

/// One argument of a launch.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// The address of device memory.
    Address(u64),
    /// A number of 32 bits.
    Word(u32),
    /// A struct by value, all of it.
    Bytes(&'a [u8]),
}

impl Arg<'_> {
    fn size(&self) -> usize {
        match self {
            Arg::Address(_) => 8,
            Arg::Word(_) => 4,
            Arg::Bytes(bytes) => bytes.len(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Arg::Address(_) => "an address".to_owned(),
            Arg::Word(_) => "4 bytes".to_owned(),
            Arg::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }

    fn write(&self, to: &mut [u8]) {
        match self {
            Arg::Address(a) => to.copy_from_slice(&a.to_ne_bytes()),
            Arg::Word(w) => to.copy_from_slice(&w.to_ne_bytes()),
            Arg::Bytes(b) => to.copy_from_slice(b),
        }
    }
}

/// Where a kernel expects a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// First byte in the buffer of all parameters.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// Parameters, and a pointer to each. The driver takes one buffer of them all as well, and takes longer over it.
pub(super) struct Packed {
    /// The pointers point here.
    _bytes: Box<[u8]>,
    pointers: Box<[*mut c_void]>,
}

impl Packed {
    /// Packs `args` for parameters at `fields`; where they do not fit, gives what is wanted and what was got.
    pub fn new(fields: &[Field], args: &[Arg<'_>]) -> Result<Packed, (String, String)> {
        let fits = |(field, arg): (&Field, &Arg<'_>)| field.size == arg.size();
        if fields.len() != args.len() || !fields.iter().zip(args).all(fits) {
            let sizes: Vec<_> = fields.iter().map(|f| f.size).collect();
            let got = args.iter().map(Arg::describe).collect::<Vec<_>>().join(", ");
            return Err((format!("{} parameters of {sizes:?} bytes", sizes.len()), format!("{}: {got}", args.len())));
        }
        let len = fields.iter().map(|f| f.offset + f.size).max().unwrap_or(0);
        let mut bytes = vec![0; len].into_boxed_slice();
        for (field, arg) in fields.iter().zip(args) {
            arg.write(&mut bytes[field.offset..field.offset + field.size]);
        }
        let start = bytes.as_mut_ptr();
        let pointers = fields.iter().map(|f| start.wrapping_add(f.offset).cast()).collect();
        Ok(Packed { _bytes: bytes, pointers })
    }

    /// What a launch passes as `kernelParams`.
    pub fn pointers(&self) -> *mut *mut c_void {
        self.pointers.as_ptr().cast_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use super::{Arg, Field, Packed};

    fn fields<const N: usize>(list: [(usize, usize); N]) -> [Field; N] {
        list.map(|(offset, size)| Field { offset, size })
    }

    fn bytes(from: *mut c_void, len: usize) -> Vec<u8> {
        // SAFETY: callers name bytes that a launch's parameters have.
        unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec()
    }

    /// What the driver would read of each parameter.
    fn seen(packed: &Packed, fields: &[Field]) -> Vec<Vec<u8>> {
        let params = packed.pointers();
        // SAFETY: there are as many pointers as parameters.
        (0..fields.len()).map(|i| bytes(unsafe { *params.add(i) }, fields[i].size)).collect()
    }

    #[test]
    fn every_parameter_is_where_the_kernel_expects_it() {
        let block: Vec<u8> = (0..128).collect();
        let args = [Arg::Address(0x1122_3344_5566_7788), Arg::Bytes(&block[..36]), Arg::Word(7), Arg::Address(9)];
        let fields = fields([(0, 8), (8, 36), (44, 4), (48, 8)]);
        let want = [
            0x1122_3344_5566_7788u64.to_ne_bytes().to_vec(),
            block[..36].to_vec(),
            7u32.to_ne_bytes().to_vec(),
            9u64.to_ne_bytes().to_vec(),
        ];
        let packed = Packed::new(&fields, &args).unwrap();
        // Its own bytes, wherever it goes.
        let moved = Box::new(packed);
        assert_eq!(seen(&moved, &fields), want);
    }

    #[test]
    fn wrong_arguments_are_told_apart_by_number_and_size() {
        let block = [0u8; 128];
        let one = |size| fields([(0, size)]);
        let (want, got) = Packed::new(&fields([(0, 8), (8, 36)]), &[Arg::Address(1)]).err().unwrap();
        assert_eq!((want.as_str(), got.as_str()), ("2 parameters of [8, 36] bytes", "1: an address"));
        assert!(Packed::new(&one(8), &[Arg::Word(1)]).is_err());
        assert!(Packed::new(&one(4), &[Arg::Address(1)]).is_err());
        assert!(Packed::new(&one(129), &[Arg::Bytes(&block)]).is_err());
        assert!(Packed::new(&one(8), &[Arg::Bytes(&block)]).is_err());
        assert!(Packed::new(&one(128), &[Arg::Bytes(&block)]).is_ok());
        assert!(Packed::new(&[], &[]).is_ok());
    }
}
