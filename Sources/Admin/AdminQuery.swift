internal import Bytes

/// The parameters of a route's query, each at most once and each known.
struct AdminQuery {
  private let values: [String: String]

  /// Reads `a=1&b=2`; throws if a parameter is not among `names`, comes twice, or is damaged.
  init(_ query: String?, _ names: [String]) throws(Problem) {
    var values: [String: String] = [:]
    for pair in (query ?? "").split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = AdminRoute.decoded(parts[0]),
        let value = AdminRoute.decoded(parts.count > 1 ? parts[1] : "")
      else { throw Problem(.invalidQuery, "The query has a damaged percent-encoding.") }
      guard names.contains(name) else {
        throw Problem(
          .invalidQuery,
          "There is no \(JSONText.string(name).text): the query may have \(names.joined(separator: ", "))."
        )
      }
      guard values.updateValue(value, forKey: name) == nil else {
        throw Problem(.invalidQuery, "\(name) stands twice in the query.")
      }
    }
    self.values = values
  }

  /// A parameter's value; nil if it is not there.
  subscript(name: String) -> String? { values[name] }

  /// A parameter that is a whole number within bounds.
  func number(_ name: String, _ bounds: ClosedRange<UInt64>) throws(Problem) -> UInt64? {
    guard let text = values[name] else { return nil }
    guard let number = UInt64(text), bounds.contains(number) else {
      throw Problem(
        .invalidQuery, "\(name) is a number from \(bounds.lowerBound) to \(bounds.upperBound).")
    }
    return number
  }

  /// A parameter that is one of a few words.
  func choice(_ name: String, _ words: [String]) throws(Problem) -> String? {
    guard let text = values[name] else { return nil }
    guard words.contains(text) else {
      throw Problem(.invalidQuery, "\(name) is one of \(words.joined(separator: ", ")).")
    }
    return text
  }
}
