internal import Bytes

/// JSON (RFC 8259), written by hand: a few flat objects need no encoder.
package enum JSONText {
  /// A string with its quotes.
  package static func string(_ text: String) -> String { JSONString.quoted(text) }

  /// An object of members that are JSON already; those without a value are left out.
  package static func object(_ members: [(name: String, value: String?)]) -> String {
    let present = members.compactMap { member in
      member.value.map { "\(string(member.name)): \($0)" }
    }
    return "{" + present.joined(separator: ", ") + "}"
  }

  /// An array with an element on each line, ended by a line feed.
  package static func array(_ elements: [String]) -> String {
    elements.isEmpty ? "[]\n" : "[\n  " + elements.joined(separator: ",\n  ") + "\n]\n"
  }
}
