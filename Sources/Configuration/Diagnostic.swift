// What is wrong with a configuration, as it is shown to the operator:
//
//     edge.conf:12:3: error: unknown setting "listne" in the top level
//        12 |   listne :8080;
//           |   ^^^^^^ did you mean "listen"?
//
// The line is shown as it stands in the file, tabs included. In the caret's line a tab stays a tab and
// every other character becomes as many spaces as it has columns on a terminal, so that the caret sits
// under its word. Of long lines only what stands around the caret is shown.

/// One error or warning and where it stands.
public struct Diagnostic: Sendable, Equatable {
  /// How much it matters.
  public enum Severity: String, Sendable {
    /// The configuration cannot be used.
    case error
    /// It can, but probably does not do what was meant.
    case warning
  }

  /// Another place that has to do with it.
  public struct Related: Sendable, Equatable {
    /// The file's name.
    public var file: String
    /// From 1.
    public var line: Int
    /// From 1, in characters (Unicode scalars).
    public var column: Int
    /// What is there.
    public var message: String
  }

  /// The source line around the place.
  public struct Excerpt: Sendable, Equatable {
    /// The line, or the part of it around the place, without control characters but tabs.
    public var text: String
    /// How many characters of `text` stand before the place.
    public var offset: Int
    /// How many characters of `text` are marked, at least 1.
    public var length: Int
  }

  /// Error or warning.
  public var severity: Severity
  /// The file's name, as it was given.
  public var file: String
  /// From 1; 0 if the file could not be read at all.
  public var line: Int
  /// From 1, in characters (Unicode scalars); 0 if the file could not be read at all.
  public var column: Int
  /// How many characters are meant; 0 if it is the file as a whole.
  public var length: Int
  /// What is wrong, in one line.
  public var message: String
  /// What was expected, or what to do about it.
  public var help: String?
  /// What was probably meant, as it would be written.
  public var suggestion: String?
  /// Another place that matters, such as the first of two.
  public var related: Related?
  /// The source line.
  public var excerpt: Excerpt?
}

extension Diagnostic {
  /// The diagnostic as lines of text for a terminal, each ended by a line feed.
  public var rendered: String {
    let place = line > 0 ? "\(file):\(line):\(column)" : file
    var text = "\(place): \(severity.rawValue): \(message)\n"
    var notes = self.notes
    let number = String(line)
    let margin = String(repeating: " ", count: max(5 - number.utf8.count, 0))
    let blank = String(repeating: " ", count: max(5, number.utf8.count))
    if let excerpt {
      text += "\(margin)\(number) | \(excerpt.text)\n\(blank) | \(excerpt.indentation)"
      text += excerpt.carets
      if !notes.isEmpty { text += " " + notes.removeFirst() }
      text += "\n"
    }
    for note in notes { text += "\(blank) = \(note)\n" }
    return text
  }

  /// What follows the message, most useful first.
  private var notes: [String] {
    var notes: [String] = []
    if let suggestion { notes.append("did you mean \"\(suggestion)\"?") }
    if let help { notes.append(help) }
    if let related {
      notes.append("\(related.message): \(related.file):\(related.line):\(related.column)")
    }
    return notes
  }

  /// Diagnostics as text for a terminal.
  public static func text(_ diagnostics: [Diagnostic]) -> String {
    var text = ""
    for diagnostic in diagnostics { text += diagnostic.rendered }
    return text
  }

  /// Diagnostics as a JSON array of objects; members that are nil are left out.
  public static func json(_ diagnostics: [Diagnostic]) -> String {
    JSONText.array(diagnostics.map(\.json))
  }

  private var json: String {
    var members: [(String, String?)] = [
      ("severity", JSONText.string(severity.rawValue)), ("file", JSONText.string(file)),
      ("line", String(line)), ("column", String(column)), ("length", String(length)),
      ("message", JSONText.string(message)), ("help", help.map(JSONText.string)),
      ("suggestion", suggestion.map(JSONText.string)),
    ]
    if let related {
      let object = JSONText.object([
        ("file", JSONText.string(related.file)), ("line", String(related.line)),
        ("column", String(related.column)), ("message", JSONText.string(related.message)),
      ])
      members.append(("related", object))
    }
    return JSONText.object(members)
  }
}

extension Diagnostic.Excerpt {
  /// What brings the caret under its word.
  fileprivate var indentation: String {
    var spaces = ""
    for scalar in text.unicodeScalars.prefix(offset) {
      if scalar == "\t" {
        spaces += "\t"
      } else {
        spaces += String(repeating: " ", count: columns(of: scalar))
      }
    }
    return spaces
  }

  /// The carets under the word.
  fileprivate var carets: String {
    var count = 0
    for scalar in text.unicodeScalars.dropFirst(offset).prefix(length) {
      count += columns(of: scalar)
    }
    return String(repeating: "^", count: max(count, 1))
  }
}

/// How many columns of a terminal a character takes: none, one, or two (UAX #11, wide and full width).
private func columns(of scalar: Unicode.Scalar) -> Int {
  switch scalar.properties.generalCategory {
  case .nonspacingMark, .enclosingMark, .format: return 0
  default: break
  }
  switch scalar.value {
  case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF,
    0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF,
    0x20000...0x3FFFD:
    return 2
  default: return 1
  }
}
