/**
 * SHA-256 (FIPS 180-4) of four messages at once, as a WebAssembly program: lane i of every vector belongs to message i, so
 * that one instruction does the same step of all four.
 *
 * The messages are padded already and have the same number of blocks. The program is made here, from the constants and
 * functions of the standard, with all 64 rounds written out: `a` to `h` then change their names from round to round instead
 * of being moved.
 */

import { type Local, WasmProgram } from "./wasm-text.ts";

/** Messages that are hashed together. */
export const LANES = 4;
export const BLOCK_BYTES = 64;
const ROUNDS = 64;
const WORDS = 16;

/** Parameters of the program: addresses of the messages, number of blocks of each, addresses for the digests. */
const MESSAGES: readonly Local[] = [0, 1, 2, 3];
const BLOCKS: Local = 4;
const DIGESTS: readonly Local[] = [5, 6, 7, 8];

/** Reverses the bytes of each 32-bit lane. */
const BYTE_SWAP = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];

/** The program's function: as its parameters above. */
export type HashFour = (
  ...addresses: [
    message0: number,
    message1: number,
    message2: number,
    message3: number,
    blocks: number,
    digest0: number,
    digest1: number,
    digest2: number,
    digest3: number,
  ]
) => void;

/** The module: exports `memory` of so many pages and `run`, a `HashFour`. */
export function sha256Module(pages: number): Uint8Array<ArrayBuffer> {
  const primes = firstPrimes(ROUNDS);
  const roundConstants = primes.map((prime) => fractionBits(prime, 3));
  const initialState = primes.slice(0, 8).map((prime) => fractionBits(prime, 2));
  const program = new WasmProgram(MESSAGES.length + 1 + DIGESTS.length);
  const state = initialState.map((word) => {
    const local = program.vector();
    program.splat(word).set(local);
    return local;
  });
  const words = Array.from({ length: WORDS }, () => program.vector());
  const working = state.map(() => program.vector());
  const scratch: Scratch = { sum: program.vector(), xorBefore: program.vector(), xorNow: program.vector() };
  program.repeat(() => {
    words.forEach((word, index) => loadWord(program, word, index));
    state.forEach((local, index) => program.get(local).set(working[index] ?? 0));
    program
      .get(working[1] ?? 0)
      .get(working[2] ?? 0)
      .vectorPlain("v128.xor")
      .set(scratch.xorBefore);
    let names: readonly Local[] = working;
    let { xorBefore, xorNow } = scratch;
    for (let round = 0; round < ROUNDS; round++) {
      if (round >= WORDS) expandWord(program, words, round);
      const input = { word: words[round % WORDS] ?? 0, constant: roundConstants[round] ?? 0 };
      names = compress(program, names, input, { sum: scratch.sum, xorBefore, xorNow });
      [xorBefore, xorNow] = [xorNow, xorBefore];
    }
    state.forEach((local, index) =>
      program
        .get(local)
        .get(names[index] ?? 0)
        .vectorPlain("i32x4.add")
        .set(local),
    );
    for (const message of MESSAGES) program.get(message).i32(BLOCK_BYTES).plain("i32.add").set(message);
    program.get(BLOCKS).i32(1).plain("i32.sub").tee(BLOCKS);
  });
  state.forEach((local, index) => storeWord(program, local, index));
  return program.module(pages);
}

interface Scratch {
  readonly sum: Local;
  /** `b ^ c`, which was `a ^ b` one round before. */
  readonly xorBefore: Local;
  /** `a ^ b`. */
  readonly xorNow: Local;
}

/** One round; returns the locals that are `a` to `h` in the next one. */
function compress(
  program: WasmProgram,
  names: readonly Local[],
  input: { readonly word: Local; readonly constant: number },
  { sum, xorBefore, xorNow }: Scratch,
): readonly Local[] {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = names;
  // h + K + W + Sigma1(e) + Ch(e, f, g)
  program.splat(input.constant).get(input.word).vectorPlain("i32x4.add").get(h).vectorPlain("i32x4.add");
  xorOfRotations(program, e, [6, 11, 25]);
  program.vectorPlain("i32x4.add");
  // Ch(e, f, g) = g ^ (e & (f ^ g))
  program.get(f).get(g).vectorPlain("v128.xor").get(e).vectorPlain("v128.and").get(g).vectorPlain("v128.xor");
  program.vectorPlain("i32x4.add").set(sum);
  program.get(d).get(sum).vectorPlain("i32x4.add").set(d);
  // Maj(a, b, c) = b ^ ((a ^ b) & (b ^ c))
  program.get(a).get(b).vectorPlain("v128.xor").tee(xorNow).get(xorBefore).vectorPlain("v128.and");
  program.get(b).vectorPlain("v128.xor").get(sum).vectorPlain("i32x4.add");
  xorOfRotations(program, a, [2, 13, 22]);
  program.vectorPlain("i32x4.add").set(h);
  return [h, a, b, c, d, e, f, g];
}

/** Replaces the word of 16 rounds before by the one of this round. */
function expandWord(program: WasmProgram, words: readonly Local[], round: number): void {
  const at = (distance: number): Local => words[(round - distance + WORDS) % WORDS] ?? 0;
  program.get(at(16)).get(at(7)).vectorPlain("i32x4.add");
  xorOfRotations(program, at(15), [7, 18], 3);
  program.vectorPlain("i32x4.add");
  xorOfRotations(program, at(2), [17, 19], 10);
  program.vectorPlain("i32x4.add").set(at(16));
}

/** Leaves the exclusive or of the local rotated right by each of `rotations` and, if given, shifted right by `shift`. */
function xorOfRotations(program: WasmProgram, local: Local, rotations: readonly number[], shift?: number): void {
  rotations.forEach((bits, index) => {
    program.get(local).i32(bits).vectorPlain("i32x4.shr_u");
    if (index > 0) program.vectorPlain("v128.xor");
    program
      .get(local)
      .i32(32 - bits)
      .vectorPlain("i32x4.shl")
      .vectorPlain("v128.xor");
  });
  if (shift !== undefined) program.get(local).i32(shift).vectorPlain("i32x4.shr_u").vectorPlain("v128.xor");
}

/** Word `index` of the four messages, which hold it big-endian. */
function loadWord(program: WasmProgram, word: Local, index: number): void {
  MESSAGES.forEach((message, lane) =>
    program
      .get(message)
      .get(word)
      .load32Lane(index * 4, lane)
      .set(word),
  );
  program.get(word).get(word).shuffle(BYTE_SWAP).set(word);
}

function storeWord(program: WasmProgram, word: Local, index: number): void {
  program.get(word).get(word).shuffle(BYTE_SWAP).set(word);
  DIGESTS.forEach((digest, lane) =>
    program
      .get(digest)
      .get(word)
      .store32Lane(index * 4, lane),
  );
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}

/** The first 32 bits of the fraction of the `degree`-th root of `value`, which is where the standard's constants are from. */
function fractionBits(value: number, degree: 2 | 3): number {
  // The integer root of value * 2^(32 * degree), by bisection: floats are not exact enough.
  const target = BigInt(value) << BigInt(32 * degree);
  let low = 0n;
  let high = BigInt(value) << 32n;
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle ** BigInt(degree) <= target) low = middle;
    else high = middle - 1n;
  }
  return Number(low & 0xffff_ffffn);
}
