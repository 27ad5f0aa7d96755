// What an argument looks like: how it is written in the reference, what values it may have, how it is
// read from a word, and how a value is written. Typed, so that a setting and the place in the model
// that it goes to have the same type or do not compile.

internal import Rules

/// The syntax of one argument.
struct Syntax<Value: Sendable>: Sendable {
  /// As the reference shows it: `DURATION`, `on|off`.
  var shape: String
  /// What a message says was expected.
  var expected: String
  /// The allowed values, if there are bounds.
  var range: String?
  /// What the number counts.
  var unit: String?
  /// The value of a word.
  var read: @Sendable (String) throws(Problem) -> Value
  /// A value as it would be written.
  var write: @Sendable (Value) -> String

  init(
    _ shape: String, expected: String, range: String? = nil, unit: String? = nil,
    read: @escaping @Sendable (String) throws(Problem) -> Value,
    write: @escaping @Sendable (Value) -> String
  ) {
    self.shape = shape
    self.expected = expected
    self.range = range
    self.unit = unit
    self.read = read
    self.write = write
  }

  /// The same or nothing; `word` is how nothing is written, if it can be.
  func optional(none: String, word: String? = nil) -> Syntax<Value?> {
    let read = self.read
    let write = self.write
    return Syntax<Value?>(
      word.map { "\($0)|\(shape)" } ?? shape,
      expected: word.map { "\($0), or \(expected)" } ?? expected, range: range, unit: unit,
      read: { text throws(Problem) in text == word ? nil : try read(text) },
      write: { $0.map(write) ?? none })
  }
}

private func outOfRange(_ text: String, _ range: String) -> Problem {
  Problem("\(quoted(text)) is out of range", help: "expected \(range)")
}

extension Syntax where Value == Int64 {
  /// Nanoseconds, written with units.
  static func duration(_ bounds: ClosedRange<Int64>) -> Syntax {
    let range =
      "\(Units.text(duration: bounds.lowerBound)) to \(Units.text(duration: bounds.upperBound))"
    return Syntax(
      "DURATION", expected: "a duration such as 500ms, 30s or 1m30s", range: range, unit: "time",
      read: { text throws(Problem) in
        let value = try Units.duration(text)
        guard bounds.contains(value) else { throw outOfRange(text, range) }
        return value
      }, write: { Units.text(duration: $0) })
  }
}

extension Syntax where Value: FixedWidthInteger {
  /// Bytes, written with units.
  static func size(_ bounds: ClosedRange<Value>) -> Syntax {
    let write: @Sendable (Value) -> String = { Units.text(size: UInt64(clamping: $0)) }
    let range = "\(write(bounds.lowerBound)) to \(write(bounds.upperBound))"
    return Syntax(
      "SIZE", expected: "a size such as 512, 64KiB or 10MiB", range: range, unit: "bytes",
      read: { text throws(Problem) in
        guard let value = Value(exactly: try Units.size(text)), bounds.contains(value) else {
          throw outOfRange(text, range)
        }
        return value
      }, write: write)
  }

  /// A whole number of `unit`.
  static func count(_ bounds: ClosedRange<Value>, of unit: String) -> Syntax {
    let range = "\(bounds.lowerBound) to \(bounds.upperBound)"
    return Syntax(
      "NUMBER", expected: "a whole number, \(range)", range: range, unit: unit,
      read: { text throws(Problem) in
        guard let value = Value(exactly: try Units.integer(text)), bounds.contains(value) else {
          throw outOfRange(text, range)
        }
        return value
      }, write: { "\($0)" })
  }
}

extension Syntax where Value == Bool {
  /// `on` or `off`.
  static var flag: Syntax { choice([("on", true), ("off", false)]) }
}

extension Syntax where Value: Equatable {
  /// One of a few words.
  static func choice(_ choices: [(word: String, value: Value)]) -> Syntax {
    let words = choices.map(\.word)
    return Syntax(
      words.joined(separator: "|"), expected: words.joined(separator: " or "),
      read: { text throws(Problem) in
        for choice in choices where choice.word == text { return choice.value }
        throw Problem(
          "\(quoted(text)) is not possible here",
          suggestion: Spelling.nearest(to: text, among: words))
      },
      write: { value in choices.first { $0.value == value }?.word ?? "" })
  }
}

extension Syntax where Value == Rate {
  /// So many a second, minute, hour or day; at most a million a second.
  static var rate: Syntax {
    Syntax(
      "RATE", expected: "a rate such as 50/s, 300/m, 1000/h or 10000/d",
      range: "1/d to 1000000/s",
      read: { text throws(Problem) in
        let rate = try Units.rate(text)
        guard rate.count <= UInt64(rate.period / 1_000) else {
          throw outOfRange(text, "at most 1000000/s")
        }
        return rate
      }, write: { "\($0.count)/\(Units.text(duration: $0.period).dropFirst())" })
  }
}

extension Syntax where Value == ListenAddress {
  /// A numeric address and a port.
  static var listenAddress: Syntax {
    Syntax(
      "ADDRESS", expected: "an address such as :8080, 127.0.0.1:8080 or [::1]:8080",
      read: { text throws(Problem) in try Addresses.listen(text) }, write: { $0.text })
  }
}

extension Syntax where Value == AdminAddress {
  /// A numeric address and a port, or the path of a socket.
  static var adminAddress: Syntax {
    Syntax(
      "ADDRESS|unix:PATH",
      expected: "an address such as 127.0.0.1:9090, or unix:/run/weir/admin.sock",
      read: { text throws(Problem) in try Addresses.admin(text) }, write: { $0.text })
  }
}

extension Syntax where Value == UInt32 {
  /// The mode of a file, as chmod takes it. The owner at least must be let in.
  static var fileMode: Syntax {
    Syntax(
      "MODE", expected: "the mode of a file, such as 0600 or 0660", range: "0600 to 0777",
      read: { text throws(Problem) in
        guard (3...4).contains(text.utf8.count), let mode = UInt32(text, radix: 8),
          mode <= 0o777, mode & 0o600 == 0o600
        else { throw outOfRange(text, "0600 to 0777, as chmod takes it") }
        return mode
      }, write: { "0" + String($0, radix: 8) })
  }
}

extension Syntax where Value == ServerTarget {
  /// A name or address, and a port; perhaps by TLS.
  static var server: Syntax {
    Syntax(
      "HOST:PORT", expected: "a name or address and a port, such as 10.0.0.1:9000 or app:9000",
      read: { text throws(Problem) in try Addresses.server(text) },
      write: { $0.text })
  }
}

extension Syntax where Value == String {
  /// The path of a file or directory.
  static func path(_ shape: String, of what: String) -> Syntax {
    Syntax(
      shape, expected: "the path of \(what)",
      read: { text throws(Problem) in
        if text.isEmpty { throw Problem("the path is empty") }
        if text.utf8.count > 4_000 { throw Problem("the path is too long") }
        return text
      }, write: { $0 })
  }

  /// A name that other settings refer to, and that stands in metrics.
  static var name: Syntax {
    Syntax(
      "NAME", expected: "a name of letters, digits, \"_\", \"-\" and \".\", at most 64",
      read: { text throws(Problem) in
        guard isName(text) else { throw Problem("\(quoted(text)) is not a name") }
        return text
      }, write: { $0 })
  }

  /// A name that can stand in `Via` and, as a token, in `Cache-Status` (RFC 9651 §3.3.4).
  static var nodeName: Syntax {
    Syntax(
      "NAME", expected: "a letter, then letters, digits, \"_\", \"-\" and \".\", at most 64",
      read: { text throws(Problem) in
        guard isName(text), text.first?.isLetter == true else {
          throw Problem("\(quoted(text)) cannot be a node's name")
        }
        return text
      }, write: { $0 })
  }

  /// A name of a user of the system, as useradd(8) takes them.
  static var userName: Syntax {
    Syntax(
      "NAME",
      expected: "a letter or \"_\", then letters, digits, \"_\", \"-\" and \".\", at most 32",
      read: { text throws(Problem) in
        guard isName(text.first == "_" ? "u" + text.dropFirst() : text), text.utf8.count <= 32,
          text.first?.isNumber != true
        else { throw Problem("\(quoted(text)) cannot be a user's name") }
        return text
      }, write: { $0 })
  }

  private static func isName(_ text: String) -> Bool {
    guard (1...64).contains(text.utf8.count) else { return false }
    for (index, byte) in text.utf8.enumerated() {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        continue
      case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
        if index == 0 { return false }
      default: return false
      }
    }
    return true
  }

  /// A site's host.
  static var siteHost: Syntax {
    Syntax(
      "HOST", expected: "a host such as example.com, *.example.com, or * for any",
      read: { text throws(Problem) in try Addresses.site(text) }, write: { $0 })
  }

  /// What `Host` says.
  static var hostField: Syntax {
    Syntax(
      "HOST", expected: "a host such as example.com or example.com:8080",
      read: { text throws(Problem) in try Addresses.hostField(text) }, write: { $0 })
  }

  /// A bearer token (RFC 6750 §2.1).
  static var token: Syntax {
    Syntax(
      "TOKEN", expected: "letters, digits and - . _ ~ + / =",
      read: { text throws(Problem) in
        if text.isEmpty { throw Problem("the token is empty") }
        if text.utf8.count > 4_096 { throw Problem("the token is longer than 4096 bytes") }
        guard text.utf8.allSatisfy(isTokenByte) else {
          throw Problem("the token has a character that a bearer token cannot have")
        }
        return text
      }, write: { _ in "…" })
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "/"),
      UInt8(ascii: "="):
      true
    default: false
    }
  }

  /// The path of a route, as a request would have it.
  static var routePath: Syntax {
    Syntax(
      "PATH", expected: "a path such as / or /images/",
      read: { text throws(Problem) in
        guard text.first == "/" else {
          throw Problem("\(quoted(text)) does not begin with \"/\"", suggestion: "/" + text)
        }
        if let found = text.first(where: { $0 == "?" || $0 == "#" }) {
          throw Problem("a route has no \"\(found)\"", help: "only the path decides the route")
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
          throw Problem(
            "\(quoted(text)) is not a path", help: "write such characters as in a request: %C3%A9")
        }
        if text.contains("*") {
          throw Problem(
            "a route has no \"*\"", help: "a path matches everything that begins so",
            suggestion: text.last == "*" ? String(text.prefix { $0 != "*" }) : nil)
        }
        return text
      }, write: { $0 })
  }
}
