// From VCL. Its subroutines are programs, and only what reads as a setting is carried over: backends with
// their probes and timeouts, lists of addresses, and in the subroutines statements outside of conditions. All
// else is named with its line, for the rules language to say (docs/rules.md).

/// See the top of this file.
struct VarnishConversion {
  private var result = Converted()
  private var origins: [(name: String, lines: [String])] = []
  private var route: [String] = []
  private var lifetime: String?
  private var grace: String?

  /// Carries a VCL over.
  static func convert(_ text: String) -> Converted {
    var conversion = VarnishConversion()
    let statements = VarnishParser.parse(text)
    for statement in statements { conversion.read(statement) }
    conversion.write()
    conversion.result.remarks.sort { $0.line < $1.line }
    return conversion.result
  }

  private mutating func read(_ statement: VarnishStatement) {
    let words = statement.words
    switch words.first {
    case "vcl", "import": break
    case "backend": backend(statement)
    case "probe": result.remark(statement.line, "\(statement.shown): health GET PATH; in origin")
    case "acl":
      result.remark(statement.line, "\(statement.shown): allow, deny and purge_from take networks")
    case "sub":
      for inner in statement.block ?? [] { subroutine(inner, of: words.count > 1 ? words[1] : "") }
    default: result.remark(statement.line, statement.shown)
    }
  }

  private mutating func backend(_ statement: VarnishStatement) {
    guard statement.words.count > 1 else { return }
    var host = "127.0.0.1"
    var port = "80"
    var lines: [String] = []
    for entry in statement.block ?? [] {
      let name = entry.words.first ?? ""
      let value = entry.words.last ?? ""
      switch name {
      case ".host": host = value
      case ".port": port = value == "http" ? "80" : value
      case ".connect_timeout": add("connect_timeout", value, entry, &lines)
      case ".first_byte_timeout": add("first_byte_timeout", value, entry, &lines)
      case ".between_bytes_timeout": add("between_bytes_timeout", value, entry, &lines)
      case ".max_connections": lines.append("max_connections \(value);")
      case ".host_header": lines.append("host \(ConfigurationWriter.word(value));")
      case ".probe": probe(entry, &lines)
      default: result.remark(entry.line, entry.shown)
      }
    }
    lines.insert("server \(host):\(port);", at: 0)
    origins.append((ConfigurationWriter.name(statement.words[1]), lines))
  }

  private mutating func add(
    _ name: String, _ value: String, _ entry: VarnishStatement, _ lines: inout [String]
  ) {
    guard let time = Self.time(value) else { return result.remark(entry.line, entry.shown) }
    lines.append("\(name) \(time);")
  }

  private mutating func probe(_ entry: VarnishStatement, _ lines: inout [String]) {
    guard let block = entry.block, let url = block.first(where: { $0.words.first == ".url" }) else {
      return result.remark(entry.line, "\(entry.shown): health GET PATH; in origin")
    }
    var line = "health GET \(ConfigurationWriter.word(url.words.last ?? "/"))"
    for part in block {
      let value = part.words.last ?? ""
      switch part.words.first {
      case ".url": break
      case ".interval": if let time = Self.time(value) { line += " every=\(time)" }
      case ".timeout": if let time = Self.time(value) { line += " timeout=\(time)" }
      case ".expected_response": line += " expect=\(value)"
      default: result.remark(part.line, "\(part.shown): fall= and rise= of health count in a row")
      }
    }
    lines.append(line + ";")
  }

  private mutating func subroutine(_ statement: VarnishStatement, of name: String) {
    let words = statement.words
    if words.count >= 4, words[0] == "set", words[2] == "=" {
      switch (words[1], words.count) {
      case ("beresp.ttl", 4):
        if let time = Self.time(words[3]) {
          lifetime = time
          return
        }
      case ("beresp.grace", 4):
        if let time = Self.time(words[3]) {
          grace = time
          return
        }
      case ("req.backend_hint", 4), ("bereq.backend", 4):
        route.append("origin \(ConfigurationWriter.name(words[3]));")
        return
      default:
        if let line = field(words) {
          route.append(line)
          return
        }
      }
    }
    if words.count == 2, words[0] == "unset" || words[0] == "remove" {
      if words[1] == "req.http.cookie" || words[1] == "req.http.Cookie" {
        route.append("cookies drop;")
        return
      }
      if words[1].lowercased() == "beresp.http.set-cookie" {
        route.append("cache { set_cookie strip; }")
        return
      }
      if let name = Self.fieldName(words[1]) {
        route.append(
          name.isResponse ? "on response { unset \(name.text); }" : "unset \(name.text);")
        return
      }
    }
    result.remark(statement.line, "\(name): \(statement.shown)")
  }

  /// `set resp.http.X = "text";`
  private func field(_ words: [String]) -> String? {
    guard words.count == 4, let name = Self.fieldName(words[1]), !words[3].contains(".") else {
      return nil
    }
    let line = "set \(name.text) \"\(words[3])\";"
    guard !words[3].contains(where: { "\"\\$".contains($0) }) else { return nil }
    return name.isResponse ? "on response { \(line) }" : line
  }

  private static func fieldName(_ text: String) -> (text: String, isResponse: Bool)? {
    for prefix in ["req.http.", "bereq.http.", "resp.http."] where text.hasPrefix(prefix) {
      let name = text.dropFirst(prefix.count).lowercased()
      guard !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "-" }) else {
        return nil
      }
      return ("header.\(name)", prefix == "resp.http.")
    }
    return nil
  }

  /// A duration such as 5s, 0.5s, 10m or 1w.
  private static func time(_ text: String) -> String? {
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

  private mutating func write() {
    var out = ConfigurationWriter()
    out.line("# Carried over from a VCL; weir check says whether it can be used.")
    out.line("listen :6081;")
    out.line("admin 127.0.0.1:9090;")
    out.line("store store { size 1GiB; }")
    for origin in origins {
      out.gap()
      out.open("origin \(origin.name)")
      for line in origin.lines { out.line(line) }
      out.close()
    }
    out.gap()
    out.open("site *")
    if !route.contains(where: { $0.hasPrefix("origin ") }) {
      out.line("origin \(origins.first?.name ?? "default");")
    }
    var cache: [String] = []
    if let lifetime { cache.append("ttl 2xx \(lifetime);") }
    if let grace { cache.append("stale_while_revalidate \(grace);") }
    let own = "cache { "
    for line in route where line.hasPrefix(own) {
      cache.append(String(line.dropFirst(own.count).dropLast(2)))
    }
    out.open("route /")
    for line in route where !line.hasPrefix(own) { out.line(line) }
    if !cache.isEmpty { out.line("cache { \(cache.joined(separator: " ")) }") }
    out.close()
    out.close()
    result.text = out.text
  }
}

/// A statement of a VCL: words up to `;`, or a block behind them.
struct VarnishStatement {
  var words: [String]
  var block: [VarnishStatement]?
  var line: Int

  /// The statement as it stood, cut, for a remark.
  var shown: String {
    let text = words.joined(separator: " ")
    return text.count > 60 ? String(text.prefix(60)) + "…" : text
  }
}

/// Reads a VCL into statements; C in it is passed over.
enum VarnishParser {
  static func parse(_ text: String) -> [VarnishStatement] {
    var reader = Reader(bytes: Array(text.utf8))
    return reader.statements(depth: 0)
  }

  private struct Reader {
    let bytes: [UInt8]
    var offset = 0
    var line = 1

    mutating func statements(depth: Int) -> [VarnishStatement] {
      var list: [VarnishStatement] = []
      var words: [String] = []
      var start = line
      while let byte = peek() {
        if words.isEmpty { start = line }
        switch byte {
        case UInt8(ascii: ";"):
          offset += 1
          if !words.isEmpty { list.append(VarnishStatement(words: words, line: start)) }
          words = []
        case UInt8(ascii: "{"):
          offset += 1
          let block = statements(depth: min(depth + 1, 64))
          list.append(VarnishStatement(words: words, block: block, line: start))
          words = []
        case UInt8(ascii: "}"):
          offset += 1
          if depth > 0 {
            if !words.isEmpty { list.append(VarnishStatement(words: words, line: start)) }
            return list
          }
        case UInt8(ascii: "\""): words.append(quoted())
        default: words.append(bare())
        }
      }
      return list
    }

    /// The next byte that is neither white space nor in a comment.
    private mutating func peek() -> UInt8? {
      while offset < bytes.count {
        let byte = bytes[offset]
        let next = offset + 1 < bytes.count ? bytes[offset + 1] : 0
        if byte == 0x0A { line += 1 }
        if byte <= 0x20 {
          offset += 1
        } else if byte == UInt8(ascii: "#") || byte == UInt8(ascii: "/") && next == byte {
          while offset < bytes.count, bytes[offset] != 0x0A { offset += 1 }
        } else if byte == UInt8(ascii: "/") && next == UInt8(ascii: "*") {
          offset += 2
          while offset + 1 < bytes.count, bytes[offset] != 0x2A || bytes[offset + 1] != 0x2F {
            if bytes[offset] == 0x0A { line += 1 }
            offset += 1
          }
          offset = min(offset + 2, bytes.count)
        } else {
          return byte
        }
      }
      return nil
    }

    private mutating func quoted() -> String {
      offset += 1
      let start = offset
      while offset < bytes.count, bytes[offset] != UInt8(ascii: "\""), bytes[offset] != 0x0A {
        offset += 1
      }
      let text = String(decoding: bytes[start..<offset], as: UTF8.self)
      offset = min(offset + 1, bytes.count)
      return text
    }

    /// A word; `=` is one of its own.
    private mutating func bare() -> String {
      let start = offset
      if bytes[offset] == UInt8(ascii: "=") {
        while offset < bytes.count, bytes[offset] == UInt8(ascii: "=") { offset += 1 }
      } else {
        while offset < bytes.count, bytes[offset] > 0x20, !";{}\"=#".utf8.contains(bytes[offset]) {
          offset += 1
        }
        if offset == start { offset += 1 }
      }
      return String(decoding: bytes[start..<min(offset, bytes.count)], as: UTF8.self)
    }
  }
}
