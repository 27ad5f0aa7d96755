// Backends of a VCL with their probes, as origins.

extension VarnishConversion {
  mutating func backend(_ statement: VarnishStatement) {
    guard statement.words.count > 1, statement.block != nil else {
      return result.remark(statement.line, statement.shown)
    }
    var path: String?
    var host = "127.0.0.1"
    var port = "80"
    var lines: [String] = []
    for entry in statement.block ?? [] {
      let name = entry.words.first ?? ""
      let value = entry.words.last ?? ""
      switch name {
      case ".host": host = value
      case ".path": path = value
      case ".port": port = value == "http" ? "80" : value
      case ".connect_timeout": add("connect_timeout", value, entry, &lines)
      case ".first_byte_timeout": add("first_byte_timeout", value, entry, &lines)
      case ".between_bytes_timeout": add("between_bytes_timeout", value, entry, &lines)
      case ".max_connections" where (1...1_000_000).contains(Int(value) ?? 0):
        lines.append("max_connections \(value);")
      case ".host_header": lines.append("host \(ConfigurationWriter.word(value));")
      case ".probe": probe(entry, &lines)
      default: result.remark(entry.line, entry.shown)
      }
    }
    if host.contains(":"), !host.hasPrefix("[") { host = "[\(host)]" }
    let server = path.map { "unix:\($0)" } ?? "\(host):\(port)"
    lines.insert("server \(ConfigurationWriter.word(server));", at: 0)
    let name = ConfigurationWriter.name(statement.words[1])
    if origins.contains(where: { $0.name == name }) {
      return result.remark(statement.line, "\(statement.shown): another has its name")
    }
    if statement.words[1] == "default" { defaultOrigin = name }
    origins.append((name, lines))
  }

  private mutating func add(
    _ name: String, _ value: String, _ entry: VarnishStatement, _ lines: inout [String]
  ) {
    guard let time = Self.time(value) else { return result.remark(entry.line, entry.shown) }
    lines.append("\(name) \(time);")
  }

  private mutating func probe(_ entry: VarnishStatement, _ lines: inout [String]) {
    let name = entry.words.count == 3 && entry.block == nil ? entry.words[2] : nil
    let isKnown = name.map { !usedProbes.insert($0).inserted } ?? false
    guard let block = entry.block ?? name.flatMap({ probes[$0]?.block }),
      let url = block.first(where: { $0.words.first == ".url" })
    else {
      return result.remark(entry.line, "\(entry.shown): health GET PATH; in origin")
    }
    var line = "health GET \(ConfigurationWriter.word(url.words.last ?? "/"))"
    for part in block {
      let value = part.words.last ?? ""
      switch part.words.first {
      case ".url": break
      case ".interval": if let time = Self.time(value) { line += " every=\(time)" }
      case ".timeout": if let time = Self.time(value) { line += " timeout=\(time)" }
      case ".expected_response" where (100...599).contains(Int(value) ?? 0):
        line += " expect=\(value)"
      default:
        if isKnown { continue }
        result.remark(part.line, "\(part.shown): fall= and rise= of health count in a row")
      }
    }
    lines.append(line + ";")
  }

  /// A duration such as 5s, 0.5s, 10m or 1w.
  static func time(_ text: String) -> String? {
    let units = [
      "ms": 1.0, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
    ]
    let number = text.prefix { $0.isNumber || $0 == "." }
    guard let unit = units[String(text.dropFirst(number.count))], let value = Double(number),
      value > 0, value * unit < 1e12
    else { return nil }
    let milliseconds = Int((value * unit).rounded())
    return milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)s" : "\(milliseconds)ms"
  }
}
