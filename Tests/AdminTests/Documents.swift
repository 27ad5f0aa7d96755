import FoundationEssentials

/// The repository's documents.
enum Documents {
  private static let root: URL = {
    var url = URL(filePath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url
  }()

  /// Whether generated tables are rewritten instead of compared.
  static let isUpdating = ProcessInfo.processInfo.environment["WEIR_UPDATE_GOLDEN"] != nil

  /// A document's text; empty if it cannot be read.
  static func read(_ path: String) -> String {
    (try? String(contentsOf: root.appending(path: path), encoding: .utf8)) ?? ""
  }

  /// Replaces a document.
  static func write(_ text: String, to path: String) {
    try? Data(text.utf8).write(to: root.appending(path: path))
  }
}
