// Numbers with units, as text and back. Whole numbers only: `1500ms`, not `1.5s`; every sum and product
// is checked, so that no number of the file can overflow.

/// Why a word is not what a setting takes.
struct Problem: Error {
  /// What is wrong: goes on after `name: `.
  var message: String
  /// What was expected; nil for what the syntax says.
  var help: String?
  /// What was probably meant.
  var suggestion: String?

  init(_ message: String, help: String? = nil, suggestion: String? = nil) {
    self.message = message
    self.help = help
    self.suggestion = suggestion
  }
}

/// Text and numbers.
enum Units {
  /// Units of time in nanoseconds, the largest first.
  static let time: [(name: String, size: Int64)] = [
    ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000),
    ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1),
  ]
  /// Units of size in bytes, the largest binary one first.
  static let size: [(name: String, size: UInt64)] = [
    ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1), ("g", 1 << 30),
    ("G", 1 << 30), ("m", 1 << 20), ("M", 1 << 20), ("k", 1 << 10), ("K", 1 << 10),
  ]

  /// Digits at the begin of `text`, which are removed; nil if there is none or they are too large.
  static func digits(_ text: inout Substring) -> UInt64? {
    var value: UInt64 = 0
    var count = 0
    for byte in text.utf8 {
      guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { break }
      let (product, isLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, isLarger) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
      if isLarge || isLarger { return nil }
      value = sum
      count += 1
    }
    guard count > 0 else { return nil }
    text = text.dropFirst(count)
    return value
  }

  /// Whatever stands before the next digit, which is removed.
  private static func unit(_ text: inout Substring) -> Substring {
    let unit = text.prefix { !("0"..."9" ~= $0) }
    text = text.dropFirst(unit.count)
    return unit
  }

  /// A whole number.
  static func integer(_ text: String) throws(Problem) -> UInt64 {
    var rest = text[...]
    let value = digits(&rest)
    if let value, rest.isEmpty { return value }
    if !text.isEmpty && text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
      throw Problem("\(quoted(text)) is too large")
    }
    throw Problem("\(quoted(text)) is not a whole number")
  }
}

// Durations.
extension Units {
  /// Nanoseconds of a duration such as `30s` or `1m30s`.
  static func duration(_ text: String) throws(Problem) -> Int64 {
    if text == "0" { return 0 }
    var rest = text[...]
    var sum: Int64 = 0
    var smallest = Int64.max
    repeat {
      guard let number = digits(&rest) else { throw notADuration(text) }
      let name = unit(&rest)
      if name.isEmpty {
        throw Problem(
          "\(quoted(text)) has no unit", help: "the units of time are d h m s ms us ns",
          suggestion: sum == 0 ? text + "s" : nil)
      }
      guard let unit = time.first(where: { $0.name == name }) else {
        throw unknownUnit(name, of: text)
      }
      if unit.size >= smallest {
        throw Problem(
          "\(quoted(text)) is not a duration", help: "write larger units first, each once")
      }
      smallest = unit.size
      guard let part = Int64(exactly: number)?.multipliedReportingOverflow(by: unit.size),
        !part.overflow, case let total = sum.addingReportingOverflow(part.partialValue),
        !total.overflow
      else { throw Problem("\(quoted(text)) is too long a time") }
      sum = total.partialValue
    } while !rest.isEmpty
    return sum
  }

  private static func notADuration(_ text: String) -> Problem {
    if text.utf8.first.map({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) == true {
      return Problem("\(quoted(text)) is too long a time")
    }
    return Problem("\(quoted(text)) is not a duration")
  }

  /// Units as other programs write them.
  private static let otherTimes = [
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m",
    "minute": "m", "minutes": "m", "hr": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
    "msec": "ms", "S": "s", "H": "h", "D": "d", "MS": "ms", "µs": "us",
  ]

  private static func unknownUnit(_ unit: Substring, of text: String) -> Problem {
    if unit.first == "." || unit.first == "," {
      return Problem(
        "\(quoted(text)) has a fraction", help: "use a smaller unit: 1500ms and not 1.5s")
    }
    let number = text.prefix { "0"..."9" ~= $0 }
    let isSingle = number.count + unit.count == text.count
    let meant = isSingle ? otherTimes[String(unit)].map { "\(number)\($0)" } : nil
    return Problem(
      "\(quoted(text)) is not a duration: there is no unit \(quoted(unit))",
      help: "the units of time are d h m s ms us ns, with whole numbers", suggestion: meant)
  }

  /// A duration as text, in the largest unit that leaves no fraction.
  static func text(duration: Int64) -> String {
    guard let unit = time.first(where: { duration % $0.size == 0 }), duration != 0 else {
      return "0"
    }
    return "\(duration / unit.size)\(unit.name)"
  }
}

// Sizes.
extension Units {
  /// Bytes of a size such as `512`, `64KiB` or `64k`.
  static func size(_ text: String) throws(Problem) -> UInt64 {
    var rest = text[...]
    guard let number = digits(&rest) else {
      if text.utf8.first.map({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) == true {
        throw Problem("\(quoted(text)) is too large")
      }
      throw Problem("\(quoted(text)) is not a size")
    }
    if rest.isEmpty { return number }
    guard let unit = size.first(where: { $0.name == rest }) else {
      if rest.first == "." || rest.first == "," {
        throw Problem(
          "\(quoted(text)) has a fraction", help: "use a smaller unit: 1536MiB and not 1.5GiB")
      }
      let lower = rest.lowercased()
      let meant = size.first {
        $0.name.lowercased() == lower || $0.name.lowercased() == lower + "b"
      }
      throw Problem(
        "\(quoted(text)) is not a size: there is no unit \(quoted(rest))",
        help: "the units of size are B KB MB GB TB KiB MiB GiB TiB, with whole numbers",
        suggestion: meant.map { "\(number)\($0.name)" })
    }
    let (product, isLarge) = number.multipliedReportingOverflow(by: unit.size)
    if isLarge { throw Problem("\(quoted(text)) is too large") }
    return product
  }

  /// A size as text, in the largest binary unit that leaves no fraction.
  static func text(size bytes: UInt64) -> String {
    guard let unit = size.prefix(4).first(where: { bytes % $0.size == 0 }), bytes != 0 else {
      return "\(bytes)B"
    }
    return "\(bytes / unit.size)\(unit.name)"
  }
}

/// So many in a period.
struct Rate: Sendable, Equatable {
  /// How many, at least 1.
  var count: UInt64
  /// Nanoseconds: one second, minute, hour or day.
  var period: Int64
}

extension Units {
  /// A rate such as `50/s`.
  static func rate(_ text: String) throws(Problem) -> Rate {
    var rest = text[...]
    guard let count = digits(&rest) else { throw Problem("\(quoted(text)) is not a rate") }
    if rest.isEmpty {
      throw Problem("\(quoted(text)) has no period", suggestion: "\(count)/s")
    }
    let name = rest.dropFirst()
    if rest.first == "r", name.first == "/", name.count == 2 {
      throw Problem("\(quoted(text)) is not a rate", suggestion: "\(count)\(name)")
    }
    guard rest.first == "/", let unit = time.first(where: { $0.name == name }),
      unit.size >= 1_000_000_000
    else {
      let meant = rest.first == "/" ? otherTimes[String(name)].map { "\(count)/\($0)" } : nil
      throw Problem("\(quoted(text)) is not a rate", suggestion: meant)
    }
    guard count > 0 else { throw Problem("\(quoted(text)) lets nothing pass") }
    return Rate(count: count, period: unit.size)
  }
}
