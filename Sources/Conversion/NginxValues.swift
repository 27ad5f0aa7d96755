// Values of an nginx.conf.

extension NginxConversion {
  /// A text with nginx's variables as one with this language's; nil if one has no counterpart.
  static func template(_ text: String) -> String? {
    let known = [
      "uri": "${path}", "host": "${host}", "http_host": "${host}",
      "scheme": "${scheme}", "remote_addr": "${client.ip}",
    ]
    var result = "\""
    var rest = text[...]
    while let character = rest.first {
      rest = rest.dropFirst()
      if character == "$" {
        let braced = rest.first == "{"
        let name = (braced ? rest.dropFirst() : rest).prefix {
          $0.isLetter || $0.isNumber || $0 == "_"
        }
        guard let value = known[String(name)] else { return nil }
        rest = rest.dropFirst(name.count + (braced ? 2 : 0))
        result += value
      } else {
        result += ConfigurationWriter.inText(String(character))
      }
    }
    return result + "\""
  }

  /// Whether a text is written as servers are.
  static func isAddress(_ text: String) -> Bool {
    text.hasPrefix("unix:")
      || !text.isEmpty
        && text.utf8.allSatisfy { byte in
          (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
            || "._-:[]".utf8.contains(byte)
        }
  }

  static func address(_ text: String, secure: Bool) -> String {
    if text.hasPrefix("unix:") { return ConfigurationWriter.word(text) }
    let hasPort = text.hasSuffix("]") ? false : text.split(separator: ":").count > 1
    return (secure ? "https://" : "") + text + (hasPort ? "" : secure ? ":443" : ":80")
  }

  /// A size such as 10m or 512k.
  static func size(_ text: String) -> String? {
    let units: [Character: String] = ["k": "KiB", "m": "MiB", "g": "GiB"]
    guard let last = text.lowercased().last else { return nil }
    if let unit = units[last], let number = Int(text.dropLast()), number > 0 {
      return "\(number)\(unit)"
    }
    return Int(text).flatMap { $0 > 0 ? "\($0)" : nil }
  }

  /// The largest content; 0 is as much as there is.
  static func bodySize(_ text: String) -> String? {
    text == "0" ? "1024TiB" : size(text)
  }

  /// A time such as 10m, 1h or 30.
  static func time(_ text: String) -> String? {
    if let seconds = Int(text) { return "\(seconds)s" }
    guard let unit = text.last, "smhd".contains(unit), Int(text.dropLast()) != nil else {
      return nil
    }
    return text
  }
}
