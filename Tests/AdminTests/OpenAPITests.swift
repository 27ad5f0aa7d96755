import Testing

@testable import Admin

/// docs/openapi.yaml beside the table of routes, and docs/admin.md.
@Suite("OpenAPI")
struct OpenAPITests {
  /// The methods of each path, as the document has them: paths are its keys at two spaces, methods at
  /// four.
  private static func operations(_ document: String) -> Set<String> {
    var operations: Set<String> = []
    var path = ""
    var isInPaths = false
    for line in document.split(separator: "\n") {
      if !line.hasPrefix(" ") { isInPaths = line.hasPrefix("paths:") }
      guard isInPaths else { continue }
      let text = line.drop { $0 == " " }
      let depth = line.count - text.count
      let key = text.prefix { $0 != ":" }
      if depth == 2 { path = String(key) }
      if depth == 4, ["get", "post", "put", "patch", "delete"].contains(key) {
        operations.insert("\(key.uppercased()) \(path)")
      }
    }
    return operations
  }

  @Test func `the document has every route and no other`() {
    let documented = Self.operations(Documents.read("docs/openapi.yaml"))
    let routes = Set(AdminRoute.all.map { "\($0.method.rawValue) \($0.path)" })
    #expect(documented.subtracting(routes).isEmpty)
    #expect(routes.subtracting(documented).isEmpty)
  }

  @Test func `every parameter of a path is described`() {
    let document = Documents.read("docs/openapi.yaml")
    for route in AdminRoute.all {
      for segment in route.path.split(separator: "/") where segment.hasPrefix("{") {
        #expect(document.contains("name: \(segment.dropFirst().dropLast())"))
      }
    }
  }
}
