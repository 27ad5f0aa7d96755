// Other programs' configurations, carried over as far as they say the same. What comes out is a begin: an
// edge.conf that `weir check` takes, and a list of everything that was left out, with its line, so that nobody
// believes to have more than there is. Nothing is guessed: a setting that means something else here is
// left out and named.

/// What became of a configuration.
package struct Converted: Sendable, Equatable {
  /// Something that was left out, or that means something else now.
  package struct Remark: Sendable, Hashable {
    /// The line of the original, from 1.
    package var line: Int
    /// What, and what to do about it.
    package var text: String
  }

  /// The text of an edge.conf.
  package var text = ""
  /// What it does not have, in the order of the original.
  package var remarks: [Remark] = []

  mutating func remark(_ line: Int, _ text: String) {
    remarks.append(Remark(line: line, text: text))
  }

  /// Brings the remarks into the order of the original, each once: what many blocks inherit, each of them names.
  mutating func order() {
    var known: Set<Remark> = []
    remarks = remarks.filter { known.insert($0).inserted }
    remarks.sort { $0.line < $1.line }
  }
}

/// The programs whose configurations are understood, in part.
package enum ConvertedProgram: String, Sendable, CaseIterable {
  /// nginx.conf
  case nginx
  /// Varnish's VCL
  case varnish

  /// Which one a text is of: VCL begins with its version, or has subroutines.
  package static func of(_ text: String) -> ConvertedProgram {
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split { $0 == " " || $0 == "\t" }
      if words.first == "vcl" { return .varnish }
      // In a map of nginx the same words have a value and end.
      if words.first == "sub" || words.first == "backend",
        line.contains("{") || !line.contains(";")
      {
        return .varnish
      }
    }
    return .nginx
  }

  /// Carries a configuration over.
  package func convert(_ text: String) -> Converted {
    switch self {
    case .nginx: NginxConversion.convert(text)
    case .varnish: VarnishConversion.convert(text)
    }
  }
}

/// Lines of an edge.conf, indented by their blocks.
struct ConfigurationWriter {
  private(set) var text = ""
  private var depth = 0

  mutating func line(_ text: String) {
    self.text += String(repeating: "    ", count: depth) + text + "\n"
  }

  mutating func open(_ head: String) {
    line(head + " {")
    depth += 1
  }

  mutating func close() {
    depth = max(0, depth - 1)
    line("}")
  }

  mutating func gap() { if !text.isEmpty && !text.hasSuffix("\n\n") { text += "\n" } }

  /// A word as it is written: in quotes if it has to be.
  static func word(_ text: String) -> String {
    let isPlain =
      !text.isEmpty
      && text.utf8.allSatisfy { byte in
        byte > 0x20 && byte != 0x7F && !"\";{}\\#$".utf8.contains(byte)
      }
    if isPlain { return text }
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\", "$": result += "\\\(scalar)"
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// A text as rules write it.
  static func text(_ text: String) -> String {
    "\"" + inText(text) + "\""
  }

  /// A piece of a text as rules write it, without its quotes.
  static func inText(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\", "$": result += "\\\(scalar)"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// A name of an origin or limit: what other programs allow and this one does not becomes `-`.
  static func name(_ text: String) -> String {
    let mapped = text.map { character -> Character in
      character.isASCII && (character.isLetter || character.isNumber || "-_.".contains(character))
        ? character : "-"
    }
    return mapped.first?.isLetter == true ? String(mapped) : "o-" + String(mapped)
  }
}

/// Where another program looks into a target as it was sent, which rules do not see.
enum SentTarget {
  /// A condition that holds wherever an expression, as it stands in `r"…"`, occurs in the path and query that
  /// were sent, and perhaps elsewhere: fit to refuse by, and to keep out of the store. nil if there is none: the
  /// path of rules has no escapes that are not needed, and one slash where several were sent.
  static func mayMatch(_ pattern: String) -> String? {
    if pattern.contains("%") || pattern.contains("//") || pattern.contains("\\\\") { return nil }
    let test = "path matches r\"\(pattern)\""
    return isOfPath(pattern)
      ? test : "(\(test) || \"${path}?${query}\" matches r\"\(pattern)\")"
  }

  /// A condition that holds where the expression occurs, and nowhere else.
  static func matches(_ pattern: String) -> String? {
    guard let test = mayMatch(pattern) else { return nil }
    return isOfPath(pattern)
      ? test
      : "(query == \"\" && path matches r\"\(pattern)\" || query != \"\" && \"${path}?${query}\" matches r\"\(pattern)\")"
  }

  /// Whether an expression, from the beginning, has characters of a path alone: it can only be in the path.
  static func isOfPath(_ pattern: String) -> Bool {
    pattern.hasPrefix("^")
      && pattern.dropFirst().utf8.allSatisfy { byte in
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
          || "/_-".utf8.contains(byte)
      }
  }
}
