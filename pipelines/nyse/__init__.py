"""Trading volume of the New York Stock Exchange, forecast one day ahead."""
