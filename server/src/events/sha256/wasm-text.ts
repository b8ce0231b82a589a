/**
 * A very small assembler for WebAssembly: just what a numeric kernel needs, so that its program can be written, read and
 * tested here instead of being a binary that nobody can review.
 *
 * Instructions are appended in the order of the stack machine, named as in the WebAssembly text format. One module holds
 * one function, exported as `run`, and one memory, exported as `memory`. Parameters are the first locals, all of type i32;
 * the other locals are all of type v128 (four lanes of 32 bits).
 */

const I32 = 0x7f;
const V128 = 0x7b;
const FUNCTION_TYPE = 0x60;
const EMPTY_BLOCK = 0x40;
const END = 0x0b;
const VECTOR_PREFIX = 0xfd;

/** Opcodes that take nothing but operands from the stack. */
const PLAIN = { "i32.add": 0x6a, "i32.sub": 0x6b } as const;
/** The same behind the vector prefix. */
const VECTOR_PLAIN = {
  "v128.and": 0x4e,
  "v128.or": 0x50,
  "v128.xor": 0x51,
  "i32x4.shl": 0xab,
  "i32x4.shr_u": 0xad,
  "i32x4.add": 0xae,
} as const;

export type Local = number;

/** The body of the function, and the module around it. */
export class WasmProgram {
  readonly #parameters: number;
  readonly #code: number[] = [];
  #vectors = 0;

  constructor(parameters: number) {
    this.#parameters = parameters;
  }

  /** A new local of type v128. */
  vector(): Local {
    return this.#parameters + this.#vectors++;
  }

  get(local: Local): this {
    return this.#emit(0x20, ...unsigned(local));
  }

  set(local: Local): this {
    return this.#emit(0x21, ...unsigned(local));
  }

  /** Sets the local and leaves the value on the stack. */
  tee(local: Local): this {
    return this.#emit(0x22, ...unsigned(local));
  }

  i32(value: number): this {
    return this.#emit(0x41, ...signed(value));
  }

  plain(name: keyof typeof PLAIN): this {
    return this.#emit(PLAIN[name]);
  }

  vectorPlain(name: keyof typeof VECTOR_PLAIN): this {
    return this.#emit(VECTOR_PREFIX, ...unsigned(VECTOR_PLAIN[name]));
  }

  /** v128.const with the same 32-bit number in all lanes. */
  splat(value: number): this {
    const lane = [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
    return this.#emit(VECTOR_PREFIX, 0x0c, ...lane, ...lane, ...lane, ...lane);
  }

  /** i8x16.shuffle of the two vectors on the stack: each byte of the result is one of their 32 bytes. */
  shuffle(bytes: readonly number[]): this {
    return this.#emit(VECTOR_PREFIX, 0x0d, ...bytes);
  }

  /** v128.load32_lane: address and vector on the stack, any alignment. */
  load32Lane(offset: number, lane: number): this {
    return this.#emit(VECTOR_PREFIX, 0x56, 0, ...unsigned(offset), lane);
  }

  /** v128.store32_lane: address and vector on the stack, any alignment. */
  store32Lane(offset: number, lane: number): this {
    return this.#emit(VECTOR_PREFIX, 0x5a, 0, ...unsigned(offset), lane);
  }

  /** Runs `body` once and again for as long as it leaves a number other than 0 on the stack. */
  repeat(body: () => void): this {
    this.#emit(0x03, EMPTY_BLOCK);
    body();
    return this.#emit(0x0d, 0, END);
  }

  /** The module as bytes; its memory starts with so many pages of 64 KiB. */
  module(pages: number): Uint8Array<ArrayBuffer> {
    const parameters = Array.from({ length: this.#parameters }, () => I32);
    const body = [1, ...unsigned(this.#vectors), V128, ...this.#code, END];
    const sections = [
      section(1, [[FUNCTION_TYPE, ...unsigned(parameters.length), ...parameters, 0]]),
      section(3, [[0]]),
      section(5, [[0, ...unsigned(pages)]]),
      section(7, [
        [...name("memory"), 2, 0],
        [...name("run"), 0, 0],
      ]),
      section(10, [[...unsigned(body.length), ...body]]),
    ];
    return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections.flat()]);
  }

  #emit(...bytes: number[]): this {
    for (const byte of bytes) this.#code.push(byte);
    return this;
  }
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  const content = [...unsigned(entries.length), ...entries.flat()];
  return [id, ...unsigned(content.length), ...content];
}

function name(text: string): number[] {
  return [text.length, ...Buffer.from(text)];
}

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

/** Signed LEB128. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}
