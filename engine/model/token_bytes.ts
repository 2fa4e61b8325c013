// token_bytes.ts - the bytes of single tokens, written in the alphabet of byte-level vocabularies:
// a character for each byte, the printable ones of Latin-1 as themselves, the others from U+0100.

const alphabet: readonly string[] = alphabetOfBytes();

function alphabetOfBytes(): string[] {
  let other = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = byte > 0x20 && byte < 0x7f || byte > 0xa0 && byte !== 0xad;
    return String.fromCharCode(printable ? byte : other++);
  });
}

const utf8 = new TextEncoder();

/** A text's bytes in that alphabet. */
export function byteLevelOf(text: string): string {
  return Array.from(utf8.encode(text), (byte) => alphabet[byte]).join("");
}

/**
 * What a token of a SentencePiece vocabulary stands for, in that alphabet: U+2581 is a space and
 * <0x0A> a byte.
 */
export function byteLevelOfPiece(token: string): string {
  const byte = token.match(/^<0x([0-9A-Fa-f]{2})>$/)?.[1];
  if (byte !== undefined) return alphabet[Number.parseInt(byte, 16)];
  return byteLevelOf(token.replaceAll("\u2581", " "));
}
