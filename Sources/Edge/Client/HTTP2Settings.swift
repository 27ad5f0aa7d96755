internal import Configuration
internal import HTTP2

extension HTTP2Options {
  /// What a configuration says; sizes of heads are those of all clients.
  init(_ configuration: NodeConfiguration) {
    self.init()
    let http2 = configuration.http2
    maxStreams = http2.maxStreams
    maxFieldSection = configuration.client.maxHeader
    maxFields = configuration.client.maxFields
    maxTarget = configuration.client.maxRequestLine
    maxDecodedSection = max(configuration.client.maxHeader * 8, 65_536)
    maxCompressedSection = max(configuration.client.maxHeader * 2, 16_384)
    maxContinuations = http2.maxContinuations
    resets = FrameRate(http2.resets)
    settings = FrameRate(http2.settings)
    pings = FrameRate(http2.pings)
    priorities = FrameRate(http2.priorities)
    tiny = FrameRate(http2.smallFrames)
    windowUpdates = FrameRate(http2.windowUpdates)
    stallTime = http2.stallTimeout
    initialWindow = http2.window
    maxWindow = max(http2.maxWindow, http2.window)
    encoderTable = http2.fieldTable
    waitsForRequests = true
  }
}

extension FrameRate {
  fileprivate init(_ rate: FrameRateConfiguration) {
    self.init(burst: rate.burst, perSecond: rate.perSecond)
  }
}
