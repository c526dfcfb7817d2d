"""What the tests of the commands share."""

TRAIN = ("train", "breastmnist", "--phantom", "--model", "lenet5", "--device", "cpu")
