import ArgumentParser
import DemoOrigin

/// The demo origin as a command.
@main struct Origin: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "origin",
    abstract: "A demo origin for Weir: files, and answers that do what they are asked to.",
    discussion: DemoOrigin.help)

  @Option(help: "The port to listen on; 0 for any free one.")
  var port: UInt16 = 9000

  @Option(help: "The numeric address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The directory whose files are served.")
  var directory: String?

  func run() throws {
    do throws(DemoOriginError) {
      try DemoOrigin.runUntilTerminated { () throws(DemoOriginError) in
        let origin = try DemoOrigin.start(port: port, host: host, directory: directory)
        print("origin: listening on \(host):\(origin.port)")
        return origin
      }
    } catch {
      throw ValidationError(error.description)
    }
  }
}
