internal import Bytes

/// JSON, written by hand: the origin needs no more than this of it.
indirect enum JSONText: CustomStringConvertible {
  case string(String)
  case number(Int)
  case array([JSONText])
  case object([(String, JSONText)])

  var description: String {
    switch self {
    case .string(let text): JSONString.quoted(text)
    case .number(let number): String(number)
    case .array(let elements): "[" + elements.map(\.description).joined(separator: ", ") + "]"
    case .object(let members):
      "{" + members.map { "\(JSONString.quoted($0)): \($1)" }.joined(separator: ", ") + "}"
    }
  }
}
