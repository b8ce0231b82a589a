/** JSONPath as `metering.md` section 6 defines it. */

export type PathStep =
  | { readonly kind: "name"; readonly name: string }
  /** `[i,j]`: the elements in the written order. */
  | { readonly kind: "indexes"; readonly indexes: readonly number[] }
  /** `[a to b]`, inclusive. */
  | { readonly kind: "range"; readonly from: number; readonly to: number }
  /** `[*]` */
  | { readonly kind: "all" };

export interface JsonPath {
  /** The path as written, without leading and trailing blanks. */
  readonly text: string;
  readonly steps: readonly PathStep[];
}
