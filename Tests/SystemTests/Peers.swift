// Programs in Python that tests speak with, each of them a file of Tests/Scripts. `tools/setup-peers`
// installs what they need.

import EdgeTesting
import Foundation
import Testing

/// A program that says where it is in one line of JSON, and ends when its standard input does.
final class Peer: @unchecked Sendable {
  // Sendable because its test uses it from one task.
  static let repository = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// As WEIR_PEERS says, or where the script puts it.
  static let python: String? = {
    let named = ProcessInfo.processInfo.environment["WEIR_PEERS"]
    let own = repository.appending(path: ".build/peers/bin/python").path
    return [named, own].compactMap { $0 }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }()
  static var isInstalled: Bool { python != nil }

  /// What it said.
  let place: JSONValue
  private let process = Process()
  private let input = Pipe()

  /// Starts a script and waits until it has said where it is.
  init(_ script: String, _ arguments: [String] = []) throws {
    process.executableURL = URL(filePath: Self.python ?? "")
    let path = Self.repository.appending(path: "Tests/Scripts/\(script)").path
    process.arguments = [path] + arguments
    process.standardInput = input
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    var line = Data()
    while line.last != 0x0A {
      let piece = output.fileHandleForReading.availableData
      guard !piece.isEmpty else { throw PeerFailure(.ended, "\(script) ended before it was there") }
      line += piece
    }
    place = try JSONValue(parsing: String(decoding: line, as: UTF8.self))
  }

  /// A number that it said, such as a port.
  func number(_ name: String) throws -> UInt16 {
    UInt16(clamping: try #require(place[name]?.int))
  }

  /// A text that it said.
  func text(_ name: String) throws -> String { try #require(place[name]?.string) }

  /// Ends it.
  func stop() {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }
}
