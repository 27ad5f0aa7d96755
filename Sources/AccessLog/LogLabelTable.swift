internal import Bytes

/// What numbers in records stand for, as whole members of JSON: comma, name and value, ready to be copied.
/// Used by one thread.
final class LogLabelTable {
  /// Which numbers.
  enum Kind {
    case cache, detail, route
  }
  private var routes: [[UInt8]]
  private let laterRoutes: @Sendable () -> [String]
  private let cache: [[UInt8]]
  private let details: [[UInt8]]

  init(_ labels: AccessLogLabels) {
    laterRoutes = labels.laterRoutes
    routes = labels.routes.map { Self.member("route", $0) }
    cache = labels.cache.map { Self.member("cache", $0) }
    details = labels.details.map { Self.member("detail", $0) }
  }

  private static func member(_ name: StaticString, _ value: String) -> [UInt8] {
    let value = Array(value.utf8.prefix(512))
    var buffer = LineBuffer(capacity: value.count * 6 + 64)
    buffer.append(",\"")
    buffer.append(name)
    buffer.append("\":\"")
    value.withView { buffer.append(escaping: $0) }
    buffer.append(ASCII.quote)
    return buffer.view.array
  }

  /// Appends `,"NAME":"VALUE"`; nothing for a number that stands for nothing.
  func append(_ kind: Kind, _ index: Int, to line: inout LineBuffer) {
    let members = members(kind, index)
    if index < members.count { members[index].withView { line.append($0) } }
  }

  /// Calls `body` with the value alone, escaped as in JSON; with nothing for what there is not.
  func withValue(_ kind: Kind, _ index: Int, _ body: (ByteView) -> Void) {
    let members = members(kind, index)
    guard index < members.count else { return body(ByteView()) }
    // `,"NAME":"` and `"`
    let start = kind == .detail ? 11 : 10
    members[index].withView { body($0[start..<$0.count - 1]) }
  }

  private func members(_ kind: Kind, _ index: Int) -> [[UInt8]] {
    switch kind {
    case .cache: return cache
    case .detail: return details
    case .route:
      if index != Int(UInt16.max) && index >= routes.count { learnRoutes() }
      return routes
    }
  }

  /// Takes in the names of routes that a reload has brought.
  private func learnRoutes() {
    let all = laterRoutes()
    guard all.count > routes.count else { return }
    routes += all[routes.count...].map { Self.member("route", $0) }
  }
}
