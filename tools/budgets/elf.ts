// elf.ts - the sections of a cubin, which is a 64-bit ELF file of little-endian numbers.
import { SpecacheError } from "../../engine/errors.ts";

// Offsets in the file's header and in a section's, and the type of a section without bytes.
const MAGIC = 0x464c457f;
const FILE = { sectionsAt: 0x28, size: 0x3a, count: 0x3c, names: 0x3e };
const SECTION = { name: 0, type: 4, offset: 24, size: 32 };
const NO_BYTES = 8;

/**
 * The sections by name; sections without bytes in the file are left out.
 *
 * @throws {SpecacheError} file: not such a file, or cut short
 */
export function elfSections(file: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  try {
    if (view.getUint32(0, true) !== MAGIC || file[4] !== 2 || file[5] !== 1) throw new RangeError();
    return readSections(file, view);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new SpecacheError("file", "Cannot read a cubin: not a whole 64-bit ELF file", { cause });
  }
}

function readSections(file: Uint8Array, view: DataView): Map<string, Uint8Array> {
  const at = Number(view.getBigUint64(FILE.sectionsAt, true));
  const [size, count, names] = [FILE.size, FILE.count, FILE.names].map((from) =>
    view.getUint16(from, true)
  );
  const header = (index: number) => {
    const from = at + index * size;
    return {
      name: view.getUint32(from + SECTION.name, true),
      type: view.getUint32(from + SECTION.type, true),
      offset: Number(view.getBigUint64(from + SECTION.offset, true)),
      bytes: Number(view.getBigUint64(from + SECTION.size, true)),
    };
  };
  const strings = header(names).offset;
  const sections = new Map<string, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const { name, type, offset, bytes } = header(index);
    if (type === NO_BYTES) continue;
    if (offset + bytes > file.length) throw new RangeError();
    sections.set(textAt(file, strings + name), file.subarray(offset, offset + bytes));
  }
  return sections;
}

function textAt(file: Uint8Array, from: number): string {
  const end = file.indexOf(0, from);
  if (end < 0) throw new RangeError();
  return new TextDecoder().decode(file.subarray(from, end));
}
