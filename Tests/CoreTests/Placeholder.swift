import Testing

@Test func coreTestsPlaceholder() {}
