//! The byte alphabet of GPT-2: every byte has a printable character, so that any bytes can be written as text.

/// The character that stands for each byte: itself where it is printable Latin-1, else one from U+0100 on.
const fn char_of_byte() -> [u16; 256] {
    let mut table = [0; 256];
    let mut next = 0x100;
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte as u16,
            _ => {
                next += 1;
                next - 1
            }
        };
        byte += 1;
    }
    table
}

/// The byte of each character below U+0144, or 256 where there is none.
const BYTE_OF_CHAR: [u16; 0x144] = {
    let chars = char_of_byte();
    let mut table = [256; 0x144];
    let mut byte = 0;
    while byte < 256 {
        table[chars[byte] as usize] = byte as u16;
        byte += 1;
    }
    table
};

/// Appends the bytes that `name` stands for. A character outside the alphabet stands for its own UTF-8.
pub(super) fn decode_name(name: &str, out: &mut Vec<u8>) {
    for c in name.chars() {
        match BYTE_OF_CHAR.get(c as usize) {
            Some(&byte) if byte < 256 => out.push(byte as u8),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        for (byte, &c) in char_of_byte().iter().enumerate() {
            let mut out = Vec::new();
            decode_name(&char::from_u32(c.into()).unwrap().to_string(), &mut out);
            assert_eq!(out, [byte as u8]);
        }
    }

    #[test]
    fn names_read_as_published_vocabularies_write_them() {
        let mut out = Vec::new();
        decode_name("ĠHelloĊ", &mut out);
        assert_eq!(out, b" Hello\n");
        out.clear();
        decode_name("ðŁĺĢ", &mut out);
        assert_eq!(out, "😀".as_bytes());
        out.clear();
        decode_name("▁", &mut out);
        assert_eq!(out, "▁".as_bytes());
    }
}
