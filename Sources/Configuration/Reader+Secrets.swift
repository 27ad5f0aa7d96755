// Secrets in files of their own, so that the configuration can be shown, copied and kept in a repository.

extension Reader {
  /// The most bytes of a file with a secret.
  private static let largestSecret = 64 << 10

  /// Puts what the files have in place of the arguments `file:PATH` of a setting that is a secret; false,
  /// with the reason reported, if one cannot be used.
  mutating func takeSecrets(of directive: inout Directive) -> Bool {
    for index in directive.arguments.indices {
      let word = directive.arguments[index]
      guard !word.isBroken, word.text.hasPrefix("file:") else { continue }
      let path = Placed(value: String(word.text.dropFirst(5)), range: word.range)
      guard let secret = secret(inFile: path, of: directive.name.text, mayBeReadByOthers: false)
      else { return false }
      directive.arguments[index].text = secret
      directive.arguments[index].isFromFile = true
    }
    return true
  }

  /// The token in a file; nil, with the reason reported, if there is none.
  mutating func token(inFile path: Placed<String>) -> String? {
    guard let secret = secret(inFile: path, of: "token_file", mayBeReadByOthers: true) else {
      return nil
    }
    do throws(Problem) {
      let token = try Syntax<String>.token.read(secret)
      return checkedToken(Placed(value: token, range: path.range))
    } catch {
      findings.error(
        "token_file: \(quoted(path.value)): \(error.message)", at: path.range,
        help: "expected one line of \(Syntax<String>.token.expected)")
      return nil
    }
  }

  /// What a file has, without white space around it; nil, with the reason reported, if it cannot be used.
  private mutating func secret(
    inFile path: Placed<String>, of setting: String, mayBeReadByOthers: Bool
  ) -> String? {
    let contents: FileContents
    switch FileContents.read(resolve(path.value), most: Self.largestSecret, onlyRegular: true) {
    case .success(let read): contents = read
    case .failure(let problem):
      findings.error(
        "\(setting): \(quoted(path.value)) \(problem.described)", at: path.range,
        help: "the path starts from the configuration's directory")
      return nil
    }
    if contents.isReadableByOthers {
      let message = "\(setting): \(quoted(path.value)) can be read by every user"
      guard mayBeReadByOthers else {
        findings.error(message, at: path.range, help: "chmod o-rwx \(path.value)")
        return nil
      }
      findings.warning(message, at: path.range, help: "chmod o-rwx it")
    }
    guard let text = String(validating: contents.bytes, as: UTF8.self) else {
      findings.error("\(setting): \(quoted(path.value)) is not text", at: path.range)
      return nil
    }
    let isSpace: (Character) -> Bool = { $0.isWhitespace }
    return String(text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
  }
}
