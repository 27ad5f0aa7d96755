// The library of functions, as one table: names, parameters, results and meanings. The checker,
// suggestions and the table of docs/rules.md come from it. Every function is linear in its input.

/// A function of the language.
package struct RuleFunction: Sendable {
  /// What a parameter takes.
  enum Parameter: Sendable {
    case text, integer, address
    /// Any single value; it is used as the text that it would be in a text.
    case any
    /// A text that may be missing: data of the request.
    case data
    /// What `split` gives.
    case parts
    /// Written in place: a text, a number in bounds, a regular expression, a list of texts.
    case constantText
    case constantInteger(ClosedRange<Int64>)
    case pattern
    case constantTexts
  }

  /// Its name.
  package let name: String
  /// Its parameters as the reference shows them.
  package let shape: String
  /// What it gives.
  package let result: RuleType
  /// What it does, in a sentence.
  package let text: String
  let parameters: [Parameter]
  /// How many of the last parameters may be left out.
  let optional: Int
  /// What other programs call it; only for suggestions.
  let aliases: [String]

  private init(
    _ name: String, _ shape: String, _ parameters: [Parameter], optional: Int = 0,
    _ result: RuleType, aliases: [String] = [], _ text: String
  ) {
    self.name = name
    self.shape = shape
    self.parameters = parameters
    self.optional = optional
    self.result = result
    self.aliases = aliases
    self.text = text
  }

  /// All functions.
  package static let all: [RuleFunction] = [
    RuleFunction(
      "exists", "data", [.data], .boolean, aliases: ["defined", "has", "isset"],
      "Whether the data is there; a field or parameter that is there may be empty."),
    RuleFunction(
      "lower", "text", [.text], .text, aliases: ["tolower", "lowercase"],
      "The text with ASCII letters in lower case."),
    RuleFunction(
      "upper", "text", [.text], .text, aliases: ["toupper", "uppercase"],
      "The text with ASCII letters in upper case."),
    RuleFunction(
      "trim", "text", [.text], .text, aliases: ["strip"],
      "The text without spaces and tabs at its ends."),
    RuleFunction(
      "length", "text", [.text], .integer, aliases: ["len", "size", "strlen"],
      "How many bytes the text has; of `split(…)` how many parts."),
    RuleFunction(
      "starts_with", "text, prefix", [.text, .text], .boolean,
      aliases: ["has_prefix", "startswith", "begins_with"], "Whether the text begins so."),
    RuleFunction(
      "ends_with", "text, suffix", [.text, .text], .boolean, aliases: ["has_suffix", "endswith"],
      "Whether the text ends so."),
    RuleFunction(
      "contains", "text, part", [.text, .text], .boolean, aliases: ["includes", "strstr"],
      "Whether the part stands anywhere in the text."),
    RuleFunction(
      "split", "text, separator", [.text, .constantText], .parts,
      """
      The parts of the text between separators, for `[number]` (from 0; negative from the end; a part \
      that is not there is empty), `first`, `last`, `length`, and `in`.
      """),
    RuleFunction("first", "split(…)", [.parts], .text, "The first part."),
    RuleFunction("last", "split(…)", [.parts], .text, "The last part."),
    RuleFunction(
      "replace", "text, part, with", [.text, .constantText, .text], .text,
      aliases: ["regsub", "sub", "gsub"], "The text with every occurrence of the part replaced."),
    RuleFunction(
      "replace_prefix", "text, prefix, with", [.text, .text, .text], .text,
      "The text with the prefix replaced, if it begins so."),
    RuleFunction(
      "strip_prefix", "text, prefix", [.text, .text], .text, aliases: ["trim_prefix"],
      "The text without the prefix, if it begins so."),
    RuleFunction(
      "capture", "text, r\"…\", group", [.text, .pattern, .constantInteger(0...15)], .text,
      "What a group in parentheses has matched (0: the whole); not there if nothing has."),
    RuleFunction(
      "url_decode", "text", [.text], .text, aliases: ["urldecode", "unescape"],
      "The text with `%41` decoded; what is no escape stays."),
    RuleFunction(
      "url_encode", "text", [.text], .text, aliases: ["urlencode", "escape"],
      "The text with all but unreserved characters (RFC 3986 §2.3) as escapes."),
    RuleFunction(
      "base64url_decode", "text", [.text], .text, aliases: ["base64_decode", "b64decode"],
      "The bytes that base64url stands for (RFC 4648 §5, padding or not); not there if it is none."),
    RuleFunction(
      "header", "\"name\"", [.constantText], .text, "The field of that name, as `header.NAME`."),
    RuleFunction(
      "query", "\"name\"", [.constantText], .text, aliases: ["param", "arg"],
      "The parameter of that name, as `query.NAME`."),
    RuleFunction(
      "cookie", "\"name\"", [.constantText], .text, "The cookie of that name, as `cookie.NAME`."),
    RuleFunction(
      "claim", "\"name\"", [.constantText], .text, "The claim of that name, as `jwt.claim.NAME`."),
    RuleFunction(
      "negotiate", "accepted, [\"…\"], default", [.text, .constantTexts, .constantText], .text,
      aliases: ["accept", "accept_language", "lookup"],
      """
      The tag of the list that suits an `Accept-Language` best: ranges by their q-value, each looked up \
      by RFC 4647 §3.4; the default if none does.
      """),
    RuleFunction(
      "hash", "value, buckets", [.any, .constantInteger(1...1_000_000), .constantText], optional: 1,
      .integer, aliases: ["bucket", "crc32"],
      """
      A number from 0 up to the count of buckets, the same for the same value on every node. A third \
      argument, any text, gives other numbers.
      """),
    RuleFunction(
      "percent", "value, share", [.any, .constantInteger(0...100), .constantText], optional: 1,
      .boolean, aliases: ["sample", "split_clients"],
      """
      Whether the value is of so many percent of all values: stable, so that a client stays where it \
      is. A third argument, any text, makes another choice.
      """),
    RuleFunction(
      "to_int", "text, default", [.text, .integer], optional: 1, .integer,
      aliases: ["int", "atoi", "to_integer", "number"],
      "The whole number that the text is; else the default, or 0."),
    RuleFunction(
      "to_ip", "text", [.text], .address, aliases: ["ip", "to_address"],
      "The address that the text is; else one that is in no network but `::/0`."),
    RuleFunction(
      "cidr", "address, bits, bits6",
      [.address, .constantInteger(0...32), .constantInteger(0...128)], optional: 1, .address,
      aliases: ["subnet", "mask"],
      "The first address of the client's network: the first bits of IPv4, or of IPv6 (64 if left out)."
    ),
    RuleFunction(
      "map", "\"file\", key", [.constantText, .text], .text, aliases: ["lookup_map", "map_lookup"],
      """
      The value that stands behind the key in a file with a key and a value on each line; not there if \
      the key is not. The file is read again when it changes.
      """),
    RuleFunction(
      "seconds", "number", [.integer], .duration, aliases: ["duration"],
      "A duration of so many seconds; none of a negative number."),
  ]

  private static let byName: [String: RuleFunction] = {
    var result: [String: RuleFunction] = [:]
    for function in all { result[function.name] = function }
    return result
  }()

  static func find(_ name: String) -> RuleFunction? { byName[name] }

  static func suggestion(for name: String) -> String? {
    if let function = all.first(where: { $0.aliases.contains(name) }) { return function.name }
    return Spelling.nearest(to: name, among: all.map(\.name))
  }
}
