// Debian's Chromium without a window, driven by the DevTools protocol over a pipe: texts of JSON, each
// ended by a zero byte.

import EdgeTesting
import Foundation

final class Browser: Sendable {
  static let path = "/usr/bin/chromium"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: path) }

  struct Refused: Error, CustomStringConvertible {
    var description: String
  }

  private struct Inbox {
    var unread = Data()
    var answers: [Int: JSONValue] = [:]
    var events: [JSONValue] = []
    var asked = 0
  }

  private let process: Process
  private let input: FileHandle
  private let inbox = Watched(Inbox())

  /// `words`: more options, as a shell takes them.
  init(profile: String, words: [String] = []) throws {
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    let command =
      "exec \(Self.path) --headless=new --no-sandbox --disable-gpu --no-first-run --mute-audio"
      + " --disable-dev-shm-usage --disable-extensions --hide-scrollbars --user-data-dir='\(profile)'"
      + words.map { " \($0)" }.joined()
      + " --remote-debugging-pipe about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1"
    process.arguments = ["-c", command]
    let toBrowser = Pipe()
    let fromBrowser = Pipe()
    process.standardInput = toBrowser
    process.standardOutput = fromBrowser
    process.standardError = FileHandle.nullDevice
    input = toBrowser.fileHandleForWriting
    try process.run()
    let inbox = inbox
    fromBrowser.fileHandleForReading.readabilityHandler = { handle in
      let data = handle.availableData
      if data.isEmpty { handle.readabilityHandler = nil }
      inbox.update { Self.take(data, &$0) }
    }
  }

  private static func take(_ data: Data, _ inbox: inout Inbox) {
    inbox.unread += data
    while let end = inbox.unread.firstIndex(of: 0) {
      let text = String(decoding: inbox.unread[inbox.unread.startIndex..<end], as: UTF8.self)
      inbox.unread.removeSubrange(inbox.unread.startIndex...end)
      guard let message = try? JSONValue(parsing: text) else { continue }
      if let id = message["id"]?.int {
        inbox.answers[id] = message
      } else {
        inbox.events.append(message)
      }
    }
  }

  func stop() {
    process.terminate()
    process.waitUntilExit()
  }

  /// The result of a command; `parameters` are the members of its parameters, as JSON.
  @discardableResult
  func ask(_ method: String, _ parameters: String = "", session: String? = nil) async throws
    -> JSONValue
  {
    let id = inbox.update { inbox in
      inbox.asked += 1
      return inbox.asked
    }
    let place = session.map { ", \"sessionId\": \"\($0)\"" } ?? ""
    let text = "{\"id\": \(id), \"method\": \"\(method)\", \"params\": {\(parameters)}\(place)}\0"
    try input.write(contentsOf: Data(text.utf8))
    let answer = try await inbox.wait(for: "\(method) to be answered") { $0.answers[id] != nil }
      .answers[id]
    guard let result = answer?["result"] else {
      throw Refused(
        description: "\(method): \(answer?["error"]?["message"]?.string ?? "no result")")
    }
    return result
  }

  /// What pages have complained of: errors of scripts, and what a policy has kept from running.
  var complaints: [String] {
    inbox.value.events.compactMap { event in
      switch event["method"]?.string {
      case "Runtime.exceptionThrown":
        return event["params"]?["exceptionDetails"]?["exception"]?["description"]?.string
          ?? event["params"]?["exceptionDetails"]?["text"]?.string
      case "Log.entryAdded":
        // An answer of 401 or 404 is an entry too, of the network's.
        let entry = event["params"]?["entry"]
        let isError = entry?["level"]?.string == "error" && entry?["source"]?.string != "network"
        return isError ? entry?["text"]?.string : nil
      default: return nil
      }
    }
  }
}

/// A page in a browser.
struct BrowserPage {
  let browser: Browser
  let session: String

  static func open(_ url: String, in browser: Browser) async throws -> BrowserPage {
    let target = try await browser.ask("Target.createTarget", "\"url\": \"about:blank\"")
    let id = target["targetId"]?.string ?? ""
    let attached = try await browser.ask(
      "Target.attachToTarget", "\"targetId\": \"\(id)\", \"flatten\": true")
    let page = BrowserPage(browser: browser, session: attached["sessionId"]?.string ?? "")
    for domain in ["Runtime", "Log", "Page"] {
      try await browser.ask("\(domain).enable", session: page.session)
    }
    try await browser.ask("Page.navigate", "\"url\": \"\(url)\"", session: page.session)
    return page
  }

  /// The value of an expression, which must have no quotation marks of JSON in it.
  func value(_ expression: String) async throws -> JSONValue {
    let result = try await browser.ask(
      "Runtime.evaluate",
      "\"expression\": \"\(expression)\", \"returnByValue\": true, \"awaitPromise\": true",
      session: session)
    return result["result"]?["value"] ?? .null
  }

  /// Shows it in a window of a size, dark or light.
  func setWindow(width: Int, height: Int, scheme: String) async throws {
    try await browser.ask(
      "Emulation.setDeviceMetricsOverride",
      "\"width\": \(width), \"height\": \(height), \"deviceScaleFactor\": 1, \"mobile\": \(width < 600)",
      session: session)
    try await browser.ask(
      "Emulation.setEmulatedMedia",
      "\"features\": [{\"name\": \"prefers-color-scheme\", \"value\": \"\(scheme)\"}]",
      session: session)
  }

  /// A picture of what is seen, as PNG.
  func picture() async throws -> Data {
    let result = try await browser.ask(
      "Page.captureScreenshot", "\"format\": \"png\"", session: session)
    return Data(base64Encoded: result["data"]?.string ?? "") ?? Data()
  }
}
