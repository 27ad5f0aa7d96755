import ArgumentParser
import CLinux
import Configuration
import EventLoop

/// `weir token`: makes a token for the admin listener.
struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token",
    abstract: "Make a token for the admin listener.",
    discussion: """
      Prints the token, which is kept nowhere else, and the line for the file that `tokens` of the admin \
      block names; with --file the line is added there. For example:

        weir token deploy --verbs purge,read --site example.com --file admin.tokens
      """)

  @Argument(help: "Who will have it: letters, digits and . _ - @, as the audit log is to say.")
  var name: String

  @Option(
    help: ArgumentHelp(
      "What it may do: \(AdminVerb.allCases.map(\.rawValue).joined(separator: ", ")), or *.",
      valueName: "verb,…"))
  var verbs = "*"

  @Option(
    help: ArgumentHelp(
      "A site that it is kept to, by one of its hosts; may be repeated. Else all.",
      valueName: "host"))
  var site: [String] = []

  @Option(
    help: ArgumentHelp("The file that the line is added to.", valueName: "file"),
    completion: .file())
  var file: String?

  func run() throws {
    guard let token = AdminTokenFile.makeToken(),
      let digest = AdminTokenFile.digest(of: Array(token.utf8))
    else { throw Start.refusal("there is no randomness to be had") }
    let bare = AdminToken(name: name, verbs: [.read], sites: site, digest: digest)
    let words = AdminTokenFile.line(bare).split(separator: "\t", omittingEmptySubsequences: false)
    let line = [name, verbs, site.isEmpty ? "*" : site.joined(separator: ","), String(words[3])]
      .joined(separator: "\t")
    do throws(AdminTokenFile.Defect) {
      // Read as the node would read it.
      _ = try AdminTokenFile.parse(Array(line.utf8))
    } catch {
      throw ValidationError(error.text)
    }
    guard let file else {
      print("token: \(token)\nline:  \(line)")
      return
    }
    try add(line, to: file)
    print(token)
  }

  private func add(_ line: String, to file: String) throws {
    if let known = Self.tokens(file), known.contains(where: { $0.name == name }) {
      throw Start.refusal("\(file) has a token of the name \(name) already")
    }
    let number = unsafe weir_open(file, O_WRONLY | O_APPEND | O_CREAT, 0o600)
    guard number >= 0 else { throw Start.refusal("cannot write \(file): \(Errno.current)") }
    let descriptor = Descriptor(owning: number)
    let bytes = Array((line + "\n").utf8)
    // Safe: the kernel reads the array within the call.
    let written = unsafe bytes.withUnsafeBytes {
      unsafe CLinux.write(descriptor.number, $0.baseAddress, $0.count)
    }
    guard written == bytes.count else { throw Start.refusal("cannot write \(file)") }
  }

  /// What a file has; nil if there is none yet.
  private static func tokens(_ file: String) -> [AdminToken]? {
    do throws(AdminTokenFile.Defect) { return try AdminTokenFile.read(file) } catch { return nil }
  }
}
