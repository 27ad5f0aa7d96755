import Configuration
import Conversion
import Edge

/// A request to a node with what was converted.
struct Asked {
  var line: String
  var fields: [String] = []
  var port: UInt16?
  var client = "192.0.2.1"
  /// The response's fields; nil: its rules are not asked.
  var response: [String]?
  var status: UInt16 = 200
}

/// What becomes of a request: `respond 403`, `proceed`, and what was decided, as `weir eval` says it; `cache off`
/// where the route stores nothing.
func outcome(_ asked: Asked, of converted: Converted) -> String {
  // Certificates are not here.
  let text = converted.text.replacing(" tls;", with: ";")
  let loaded = ConfigurationFile.parse(text, name: "edge.conf", directory: "/")
  guard let configuration = loaded.configuration else {
    return Diagnostic.text(loaded.diagnostics) + converted.text
  }
  var request = ExplainedRequest(line: asked.line)
  request.fields = asked.fields
  request.port = asked.port
  request.client = asked.client
  request.status = asked.response.map { _ in asked.status }
  request.responseFields = asked.response ?? []
  guard let said = try? Explanation.of(request, configuration: configuration) else {
    return "no request"
  }
  var words = [said.result] + said.effects + said.responseEffects
  let routes = configuration.sites.flatMap(\.routes)
  if said.result == "proceed", routes.contains(where: { $0.name == said.route && !$0.caching.isOn })
  {
    words.append("cache off")
  }
  return words.joined(separator: ", ")
}

/// What becomes of a request by its line and host.
func outcome(
  _ line: String, host: String = "a.example", port: UInt16? = nil, client: String = "192.0.2.1",
  _ fields: String..., of converted: Converted
) -> String {
  outcome(
    Asked(line: line, fields: ["Host: \(host)"] + fields, port: port, client: client),
    of: converted)
}

/// What is stored of a response: whether a rule keeps it out.
func isKept(
  _ response: [String], status: UInt16 = 200, to line: String = "GET /",
  host: String = "a.example", of converted: Converted
) -> Bool {
  let said = outcome(
    Asked(line: line, fields: ["Host: \(host)"], response: response, status: status),
    of: converted)
  return said.hasPrefix("proceed") && !said.contains("cache bypass") && !said.contains("cache off")
}

extension Converted {
  /// Whether something is named, with its line.
  func names(_ line: Int, _ text: String) -> Bool {
    remarks.contains { $0.line == line && $0.text.contains(text) }
  }
}
