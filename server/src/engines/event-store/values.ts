/**
 * `vals`: the queryable form of an event's `data` (`metering.md` section 7).
 *
 * ClickHouse's JSON functions read numbers as doubles and reject whole documents that hold an integer beyond 2^64, so the
 * sink derives from `data` a map that needs no number parsing: **top-level property name -> tagged text**. The first
 * character of a tagged text says what the rest is:
 *
 *     #<text>           number token; <text> is its canonical text and, read as a decimal, exactly its numeric value
 *     =<text>           string that is a plain decimal; <text> is the string and, read as a decimal, its numeric value
 *     ~<value>|<text>   number or numeric string whose numeric value needs another spelling than its canonical text
 *                       (exponents, `+`, more than 24 fractional digits: <value> is rounded half away from zero)
 *     "<text>           any other string, including numbers out of range
 *     ttrue  ffalse     booleans
 *     znull             null
 *     {...}  [...]      object or array: JSON text in which every scalar is a JSON string holding its tagged text
 *
 * A missing property has no entry, which SQL sees as the empty string. <value> always matches
 * `^-?[0-9]{1,38}(\.[0-9]{1,24})?$`, so `toDecimal256(<value>, 24)` is exact. The canonical text of `#`, `=`, `"`, `t`, `f`
 * and `z` is everything after the tag; that of `~` is everything after the first `|`. Duplicate names keep the last value.
 * Lone surrogates (not representable in UTF-8) become U+FFFD.
 *
 * Examples: `12.50` -> `#12.5`, `"12.50"` -> `=12.50`, `1e3` -> `#1000`, `"1e3"` -> `~1000|1e3`, `"+1"` -> `~1|+1`,
 * `"x"` -> `"x`, `{"a":[1,"x",null]}` -> `{"a":["#1","\"x","znull"]}`.
 */

/** Fractional digits kept of an event value (`VALUE_SCALE`). */
export const VALUE_SCALE = 24;
/** Integer digits a value may have: |v| < 10^38 (`VALUE_LIMIT`). */
export const VALUE_INTEGER_DIGITS = 38;
