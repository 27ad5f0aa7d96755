// The vectors of httpwg/structured-field-tests for parsing.

import Bytes
import FoundationEssentials
import StructuredFields
import Testing

/// Where the vectors are, or nil.
private let directory: String? = {
  let base =
    ProcessInfo.processInfo.environment["WEIR_SHARED_DATA"]
    ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared/data").path
  let path = base + "/structured-fields"
  return FileManager.default.fileExists(atPath: path) ? path : nil
}()

private struct Vector: Decodable {
  let name: String
  let raw: [String]
  let header_type: String
  let expected: JSON?
  let must_fail: Bool?
  let can_fail: Bool?
}

private indirect enum JSON: Decodable, Equatable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSON].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSON].self))
    }
  }
}

private func text(_ bytes: [UInt8]) -> JSON { .string(String(decoding: bytes, as: UTF8.self)) }

private func typed(_ type: String, _ value: JSON) -> JSON {
  .object(["__type": .string(type), "value": value])
}

/// Base32 (RFC 4648 §6), in which the vectors write bytes.
private func base32(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
  var (bits, held, out) = (0, 0, "")
  for byte in bytes {
    bits = (bits << 8 | Int(byte)) & 0xFFFF
    held += 8
    while held >= 5 {
      held -= 5
      out.append(alphabet[bits >> held & 31])
    }
  }
  if held > 0 { out.append(alphabet[bits << (5 - held) & 31]) }
  while out.count % 8 != 0 { out.append("=") }
  return out
}

private func json(_ bare: BareItem) -> JSON {
  switch bare {
  case .integer(let value): .number(Double(value))
  case .decimal(let thousandths): .number(Double(thousandths) / 1000)
  case .string(let bytes): text(bytes)
  case .token(let bytes): typed("token", text(bytes))
  case .binary(let bytes): typed("binary", .string(base32(bytes)))
  case .boolean(let value): .bool(value)
  case .date(let seconds): typed("date", .number(Double(seconds)))
  case .displayString(let bytes): typed("displaystring", text(bytes))
  }
}

private func json(_ parameters: Parameters) -> JSON {
  .array(parameters.map { .array([text($0.key), json($0.value)]) })
}

private func json(_ item: Item) -> JSON { .array([json(item.bare), json(item.parameters)]) }

private func json(_ member: Member) -> JSON {
  switch member {
  case .item(let item): json(item)
  case .innerList(let items, let parameters): .array([.array(items.map(json)), json(parameters)])
  }
}

private func parse(_ vector: Vector) -> JSON? {
  Array(vector.raw.joined(separator: ", ").utf8).withView { view in
    switch vector.header_type {
    case "item": (try? StructuredFieldParser.item(view)).map(json)
    case "list": (try? StructuredFieldParser.list(view)).map { .array($0.map(json)) }
    default:
      (try? StructuredFieldParser.dictionary(view)).map {
        .array($0.map { .array([text($0.key), json($0.value)]) })
      }
    }
  }
}

@Suite struct `RFC 9651, the published vectors` {
  @Test(
    .enabled(if: directory != nil, "the shared data is not here"),
    arguments: [
      "binary", "boolean", "date", "dictionary", "display-string", "examples", "item",
      "key-generated", "large-generated", "list", "listlist", "number-generated", "number",
      "param-dict", "param-list", "param-listlist", "string-generated", "string",
      "token-generated", "token",
    ]) func `are read as they say`(file: String) throws
  {
    let path = try #require(directory) + "/\(file).json"
    let vectors = try JSONDecoder().decode(
      [Vector].self, from: Data(contentsOf: URL(filePath: path)))
    #expect(!vectors.isEmpty)
    for vector in vectors {
      let found = parse(vector)
      if vector.must_fail == true {
        #expect(found == nil, "\(vector.name)")
      } else if vector.can_fail != true || found != nil {
        #expect(found == vector.expected, "\(vector.name)")
      }
    }
  }
}
