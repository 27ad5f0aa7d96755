// What a query can ask for. The table is what `origin --help` prints; every name that the origin looks
// up goes through `Knob`, so a knob that is not in the table cannot be used.

/// A query parameter that changes an answer.
enum Knob: String, CaseIterable {
  case status, size, body, delay, pause, piece, chunked, trailer, nolength, truncate, reset, close
  case interim, early, sip, cc, expires, age, etag, lm, no304, vary, tags, tagfield, cookie, h

  /// What its value is; empty for a switch (`chunked=1`).
  var value: String { Self.table[self]?.value ?? "" }
  /// What it does.
  var text: String { Self.table[self]?.text ?? "" }

  private static let table: [Knob: (value: String, text: String)] = [
    .status: ("CODE", "the status code"),
    .size: ("BYTES", "content of that size, pseudo-random, the same for the same resource"),
    .body: ("TEXT", "that content"),
    .delay: ("MS", "wait before the head"),
    .pause: ("MS", "wait before each piece of the content but the first"),
    .piece: ("BYTES", "write the content in pieces (and chunks) of that size; else 65536"),
    .chunked: ("", "chunked transfer coding instead of Content-Length"),
    .trailer: ("NAME:VALUE", "a trailer field (chunked); may be repeated"),
    .nolength: ("", "no length at all: the content ends with the connection"),
    .truncate: ("BYTES", "announce all of the content, send that much, close"),
    .reset: ("BYTES|head", "reset the connection behind that much content, or before the head"),
    .close: ("", "Connection: close; close=head closes before any byte"),
    .interim: ("CODE", "a 1xx response before the answer, 103 with a Link; may be repeated"),
    .early: ("", "answer without reading the request's content, and close"),
    .sip: ("MS", "wait before each read of the request's content"),
    .cc: ("TEXT", "Cache-Control; none for no such field; else max-age=60 for GET and HEAD"),
    .expires: ("SECONDS", "Expires, so far from now; may be negative"),
    .age: ("SECONDS", "Age"),
    .etag: ("TEXT", "the entity tag (quotes are added); none for none; else from the content"),
    .lm: ("SECONDS", "Last-Modified, that long ago"),
    .no304: ("", "ignore conditions: always the whole answer"),
    .vary: ("NAMES", "Vary; content depends on those request fields; *: on none"),
    .tags: ("A,B", "tags; none for none; else the path's own (/api/a/b: a and a-b)"),
    .tagfield: ("NAME", "Surrogate-Key (default), Cache-Tag or xkey"),
    .cookie: ("NAME=VALUE", "Set-Cookie"),
    .h: ("NAME:VALUE", "a response field, in place of the origin's own; may be repeated"),
  ]
}

/// The knobs of one query.
struct Knobs {
  private var values: [Knob: [String]] = [:]

  /// Reads a query; parameters that are no knobs are left alone.
  init(query: String?) {
    for pair in (query ?? "").split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.first, let knob = Knob(rawValue: String(name)) else { continue }
      let bytes = parts.count == 2 ? percentDecoded(parts[1]) ?? Array(parts[1].utf8) : []
      values[knob, default: []].append(String(decoding: bytes, as: UTF8.self))
    }
  }

  /// The first value; nil if the knob is not there.
  subscript(_ knob: Knob) -> String? { values[knob]?.first }

  /// All values, in order.
  func all(_ knob: Knob) -> [String] { values[knob] ?? [] }

  /// Whether a switch is on.
  func isOn(_ knob: Knob) -> Bool { values[knob] != nil && self[knob] != "0" }

  /// A number; nil if the knob is not there.
  func number(_ knob: Knob, atLeast least: Int = 0) throws(ConnectionEnd) -> Int? {
    guard let text = self[knob] else { return nil }
    guard let number = Int(text), number >= least, number <= 1 << 40 else {
      throw .malformed(400, "\(knob) wants \(knob.value), not \(text)")
    }
    return number
  }

  /// Field lines of a knob that holds `NAME:VALUE`; a line break in one ends it.
  func fields(_ knob: Knob) -> [(name: String, value: String)] {
    all(knob).compactMap { text in
      let line = text.prefix { $0 != "\r" && $0 != "\n" && $0 != "\r\n" }
      guard let colon = line.firstIndex(of: ":") else { return nil }
      return (String(line[..<colon]), trimmed(String(line[line.index(after: colon)...])))
    }
  }
}

extension DemoOrigin {
  /// What the origin serves and every knob, for `--help`; no line is over 78 columns.
  package static var help: String {
    let places = [
      (
        "/api/…",
        "an answer of JSON, or what the knobs say. X-Origin-Count tells how often the path "
          + "was asked for. POST, PUT, PATCH and DELETE change the resource: its next representation "
          + "has a higher revision."
      ),
      (
        "/echo…",
        "the request as JSON: method, target, version, fields, trailers, length and hash "
          + "(FNV-1a, 64 bits) of the content; no-store"
      ),
      ("/tunnel", "101 to any Upgrade, then every byte back"),
      ("/requests", "how often each path was asked for, or that of ?path=PATH; not counted itself"),
      ("anything else", "a file of the directory, with ETag and Last-Modified"),
    ]
    let knobs = Knob.allCases.map { ("\($0)=\($0.value.isEmpty ? "1" : $0.value)", $0.text) }
    return """
      WHAT IT SERVES
      \(places.map { entry($0.0, $0.1) }.joined(separator: "\n"))

      KNOBS, in the query of any of them but /requests and /tunnel
      \(knobs.map { entry($0.0, $0.1) }.joined(separator: "\n"))

      Content by size is drawn from the path, behind it "#" and the revision if
      there is one, and for each field of Vary a line of its own with its name in
      lower case, ":" and its value.
      """
  }

  /// A name and its text, broken into lines with the text in a column of its own.
  private static func entry(_ name: String, _ text: String) -> String {
    let indent = String(repeating: " ", count: 22)
    var entry = "  \(name)\(String(repeating: " ", count: max(1, 20 - name.count)))"
    var column = entry.count
    for (index, word) in text.split(separator: " ").enumerated() {
      let isFull = column + 1 + word.count > 78
      let gap = index == 0 ? "" : isFull ? "\n" + indent : " "
      entry += gap + word
      column = (isFull ? indent.count : column + gap.count) + word.count
    }
    return entry
  }
}
