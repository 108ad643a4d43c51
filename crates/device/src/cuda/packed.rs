//! A launch's parameters as the driver takes them: in one buffer, laid out as the kernel was compiled, or a pointer to each.

use std::ffi::c_void;

use cudarc::driver::sys;

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

/// How a launch hands its parameters to the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// In one buffer, which the driver copies as it is.
    #[default]
    Buffer,
    /// A pointer to each.
    Pointers,
}

/// Parameters, where the kernel expects them.
pub(super) struct Packed {
    /// The pointers of both forms point here.
    _bytes: Box<[u8]>,
    pointers: Box<[*mut c_void]>,
    /// What the buffer's form has for its size.
    _size: Box<usize>,
    buffer: Box<[*mut c_void; 5]>,
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
        let mut size = Box::new(len);
        let word = |what: u32| std::ptr::without_provenance_mut(what as usize);
        let buffer = Box::new([
            word(sys::CU_LAUNCH_PARAM_BUFFER_POINTER_AS_INT),
            start.cast(),
            word(sys::CU_LAUNCH_PARAM_BUFFER_SIZE_AS_INT),
            (&raw mut *size).cast(),
            word(sys::CU_LAUNCH_PARAM_END_AS_INT),
        ]);
        Ok(Packed { _bytes: bytes, pointers, _size: size, buffer })
    }

    /// What a launch passes as `kernelParams` and as `extra`: one of them is null.
    pub fn arguments(&self, by: Handover) -> [*mut *mut c_void; 2] {
        match by {
            // A kernel without parameters has no buffer either.
            Handover::Buffer if !self.pointers.is_empty() => [std::ptr::null_mut(), self.buffer.as_ptr().cast_mut()],
            _ => [self.pointers.as_ptr().cast_mut(), std::ptr::null_mut()],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use super::{Arg, Field, Handover, Packed};

    fn fields<const N: usize>(list: [(usize, usize); N]) -> [Field; N] {
        list.map(|(offset, size)| Field { offset, size })
    }

    fn bytes(from: *mut c_void, len: usize) -> Vec<u8> {
        // SAFETY: callers name bytes that a launch's parameters have.
        unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec()
    }

    /// What the driver would read of each parameter, given a pointer to each.
    fn by_pointers(packed: &Packed, fields: &[Field]) -> Vec<Vec<u8>> {
        let [params, extra] = packed.arguments(Handover::Pointers);
        assert!(extra.is_null());
        // SAFETY: there are as many pointers as parameters.
        (0..fields.len()).map(|i| bytes(unsafe { *params.add(i) }, fields[i].size)).collect()
    }

    /// What the driver would read of each parameter, given one buffer.
    fn by_buffer(packed: &Packed, fields: &[Field]) -> Vec<Vec<u8>> {
        let [params, extra] = packed.arguments(Handover::Buffer);
        assert!(params.is_null());
        // SAFETY: the list has five entries: a word that says what follows, each time, and the word that ends it.
        let list: [usize; 5] = std::array::from_fn(|i| unsafe { *extra.add(i) } as usize);
        assert_eq!([list[0], list[2], list[4]], [1, 2, 0]);
        // SAFETY: the size's own address.
        let size = unsafe { *(list[3] as *const usize) };
        let whole = bytes(list[1] as *mut c_void, size);
        assert_eq!(fields.last().map(|f| f.offset + f.size), Some(size));
        fields.iter().map(|f| whole[f.offset..f.offset + f.size].to_vec()).collect()
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
        assert_eq!(by_pointers(&moved, &fields), want);
        assert_eq!(by_buffer(&moved, &fields), want);
    }

    #[test]
    fn gaps_between_parameters_stay() {
        let fields = fields([(0, 4), (8, 8), (16, 3), (32, 4)]);
        let args = [Arg::Word(1), Arg::Address(2), Arg::Bytes(&[7, 8, 9]), Arg::Word(3)];
        let packed = Packed::new(&fields, &args).unwrap();
        assert_eq!(by_buffer(&packed, &fields), by_pointers(&packed, &fields));
        assert_eq!(by_buffer(&packed, &fields)[3], 3u32.to_ne_bytes());
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
        let none = Packed::new(&[], &[]).unwrap();
        assert!(none.arguments(Handover::Buffer)[1].is_null());
    }
}
