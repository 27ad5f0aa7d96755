// The suite's vary and vary-parse: responses that depend on fields of the request (RFC 9111 §4.1).

import Testing

@Suite(.serialized) struct VaryConformance {
  private static func varying(_ names: String..., more: [String] = []) -> [String] {
    let common: [String] = ["Cache-Control: max-age=5000", .lastModified(-3000), .date(0)]
    return common + names.map { "Vary: \($0)" } + more
  }

  private static func pair(
    _ id: String, _ source: AnswerSource, _ reply: [String], _ first: [String],
    then second: [String], departs: String? = nil
  ) -> ConformanceCase {
    ConformanceCase(
      id, departs: departs, CacheStep(.origin(.uriMiss), first, reply: reply),
      CacheStep(source, second))
  }

  private static let one = ["Foo: 1"]
  private static let two = ["Foo: 1", "Bar: abc"]
  private static let three = ["Foo: 1", "Bar: abc", "Baz: 789"]
  private static let miss = AnswerSource.origin(.varyMiss)

  static let selection: [ConformanceCase] = [
    pair("vary-match", .store, varying("Foo"), one, then: one),
    pair("vary-no-match", miss, varying("Foo"), one, then: ["Foo: 2"]),
    pair("vary-omit-stored", miss, varying("Foo"), [], then: one),
    pair("vary-omit", miss, varying("Foo"), one, then: []),
    ConformanceCase(
      "vary-invalidate",
      CacheStep(.origin(.uriMiss), one, reply: varying("Foo"), body: "foo_1"),
      CacheStep(miss, ["Foo: 2"], reply: varying("Foo"), body: "foo_2"),
      CacheStep(.store, one, text: "foo_1"),
      CacheStep(.store, ["Foo: 2"], text: "foo_2")),
    pair(
      "vary-cache-key", .store, varying("Foo"), one + ["Other: 2"], then: one + ["Other: 3"]),
    pair("vary-2-match", .store, varying("Foo, Bar"), two, then: two),
    pair("vary-2-no-match", miss, varying("Foo, Bar"), two, then: ["Foo: 2", "Bar: abc"]),
    pair("vary-2-match-omit", miss, varying("Foo, Bar"), two, then: []),
    pair("vary-3-match", .store, varying("Foo, Bar, Baz"), three, then: three),
    pair(
      "vary-3-no-match", miss, varying("Foo, Bar, Baz"), three,
      then: ["Foo: 2", "Bar: abc", "Baz: 789"]),
    pair(
      "vary-3-order", miss, varying("Foo, Bar, Baz"), three,
      then: ["Foo: 1", "Baz: 789", "Bar: abcde"]),
    pair(
      "vary-3-omit", .store, varying("Foo, Bar, Baz"), ["Foo: 1", "Baz: 789"],
      then: ["Foo: 1", "Baz: 789"]),
    pair(
      "vary-star", .origin(.uriMiss), varying("*"), ["Foo: 1", "Baz: 789"],
      then: ["Foo: 1", "Baz: 789"]),
  ]

  private static let languages = ["Accept-Language: en, de"]

  static let normalisation: [ConformanceCase] = [
    pair(
      "vary-normalise-combine", .store, varying("Foo"), ["Foo: 1, 2"], then: ["Foo: 1", "Foo: 2"]),
    pair(
      "vary-normalise-lang-order", miss, varying("Accept-Language"), languages,
      then: ["Accept-Language: de, en"],
      departs: "servers may take the order for the priority (RFC 9110 §12.5.4)"),
    pair(
      "vary-normalise-lang-case", .store, varying("Accept-Language"), languages,
      then: ["Accept-Language: eN, De"]),
    pair(
      "vary-normalise-lang-space", .store, varying("Accept-Language"), languages,
      then: ["Accept-Language:  en ,   de"]),
    pair(
      "vary-normalise-lang-select", miss,
      varying("Accept-Language", more: ["Content-Language: de"]), languages,
      then: ["Accept-Language: fr;q=0.5, de;q=1.0"],
      departs: "only the origin knows which languages it has (RFC 9111 §4.1)"),
    pair("vary-normalise-space", .store, varying("Foo"), ["Foo: 1,2"], then: ["Foo:  1, 2 "]),
  ]

  private static func star(_ id: String, _ values: String...) -> ConformanceCase {
    let common: [String] = ["Cache-Control: max-age=5000", .lastModified(-3000), .date(0)]
    return pair(
      id, .origin(.uriMiss), common + values.map { "Vary: \($0)" }, ["Foo: 1", "Baz: 789"],
      then: ["Foo: 1", "Baz: 789"])
  }

  static let syntax: [ConformanceCase] = [
    star("vary-syntax-star", "*"),
    star("vary-syntax-star-star", "*, *"),
    star("vary-syntax-star-star-lines", "*", "*"),
    star("vary-syntax-empty-star", ", *"),
    star("vary-syntax-empty-star-lines", "", "*"),
    star("vary-syntax-star-foo", "*, Foo"),
    star("vary-syntax-foo-star", "Foo, *"),
  ]

  @Test(arguments: selection + normalisation + syntax)
  func `a response is chosen by the fields it varies by`(row: ConformanceCase) async throws {
    try await row.run()
  }
}
