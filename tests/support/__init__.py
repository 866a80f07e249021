"""What tests share: endpoints, proxies that make things fail, commands, content."""
